# MAD-Net of width 8 on NUDT-SIRST alone and for longer, since there more capacity and more steps are what
# lacks: from the weights that three sets together gave.
_base_ = './madnet_nano_finetune_batch_nudt.py'
load_from = 'work_dirs/madnet_tiny_joint_wide/last.pth'
model = dict(backbone=dict(base_channels=8))
train_cfg = dict(max_epochs=150)
