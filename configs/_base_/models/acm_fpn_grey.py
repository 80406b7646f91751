# ACM (FPN) for one grey channel, the loss per image; maps keep their pixels in place at every size. A
# config gives its data set's mean and std.
_base_ = './acm_fpn.py'
model = dict(
    data_preprocessor=dict(_delete_=True, type='IRSTDPreProcessor', mean=[105.0], std=[40.0]),
    backbone=dict(in_channels=1),
    neck=dict(stretch=False),
    decode_head=dict(stretch=False, loss_decode=dict(per_image=True)),
)
