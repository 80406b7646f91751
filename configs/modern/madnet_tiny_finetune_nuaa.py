# MAD-Net of width 8 on NUAA-SIRST alone, from the weights that three sets together gave.
_base_ = './madnet_nano_finetune_nuaa.py'
load_from = 'work_dirs/madnet_tiny_joint_wide/last.pth'
model = dict(backbone=dict(base_channels=8))
