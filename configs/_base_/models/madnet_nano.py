# MAD-Net for one grey channel and masks of 0 and 1, narrow enough for a CPU: 1/16 of the published cost. The
# loss is taken per image, so that a small target weighs as much as a large one. The data set's base gives
# mean and std.
_base_ = './madnet.py'
model = dict(
    data_preprocessor=dict(_delete_=True, type='IRSTDPreProcessor', mean=[105.0], std=[40.0]),
    backbone=dict(in_channels=1, base_channels=4),
    decode_head=dict(soft_targets=False, loss_decode=dict(per_image=True)),
)
