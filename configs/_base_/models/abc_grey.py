# ABC-S for one grey channel and masks of 0 and 1, the loss per image; images larger than its side of 256 are
# tested by tiles. A config gives its data set's mean and std.
_base_ = './abc.py'
model = dict(
    data_preprocessor=dict(_delete_=True, type='IRSTDPreProcessor', mean=[105.0], std=[40.0]),
    backbone=dict(in_channels=1),
    decode_head=dict(soft_targets=False, loss_decode=dict(per_image=True)),
    test_cfg=dict(_delete_=True, mode='slide', crop_size=(256, 256), stride=(192, 192)),
)
