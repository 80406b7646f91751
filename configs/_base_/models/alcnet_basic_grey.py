# The ALCNet of the field's tables for one grey channel, the loss per image. A config gives its data set's
# mean and std.
_base_ = './alcnet_basic.py'
model = dict(
    data_preprocessor=dict(_delete_=True, type='IRSTDPreProcessor', mean=[105.0], std=[40.0]),
    backbone=dict(in_channels=1),
    decode_head=dict(loss_decode=dict(per_image=True)),
)
