# MAD-Net of width 4 on three data sets together, the first and longer part: small crops in large batches,
# without the training images that nearly show a test image. madnet_nano_joint_second.py goes on from its
# weights.
_base_ = './madnet_nano.py'
dataset = ['NUAA-SIRST', 'NUDT-SIRST', 'IRSTD-1K']
selection = 'last'
replace_steps = dict(RandomTargetCrop=dict(size=128))
train_dataloader = dict(batch_size=16, dataset=dict(exclude_near_test=True))
train_cfg = dict(max_epochs=50)
