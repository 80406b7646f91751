# RepISD-Net for one grey channel and masks of 0 and 1, SoftIoU per image. A config gives its data set's
# mean and std.
_base_ = './repisd.py'
model = dict(
    data_preprocessor=dict(_delete_=True, type='IRSTDPreProcessor', mean=[105.0], std=[40.0]),
    backbone=dict(in_channels=1),
    decode_head=dict(soft_targets=False, loss_decode=dict(_delete_=True, type='SoftIoULoss', per_image=True)),
)
