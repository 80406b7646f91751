# MAD-Net at its published width. The width is one number, base_channels: the encoder has D, 2D, 4D, 8D
# channels, the neck's map 16D, and neck and head take theirs from what stands before them. So is the size of
# the memory bank: neck=dict(mema2m=dict(slots=64)), by default 128, holds for the head's MemA2M as well.
model = dict(
    type='IRSTDSegmentor',
    data_preprocessor=dict(type='IRSTDPreProcessor'),
    backbone=dict(type='AdaDCMEncoder', in_channels=3, base_channels=16),
    neck=dict(type='MemA2MNeck'),
    decode_head=dict(
        type='MADNetHead',
        deep_supervision=True,
        soft_targets=True,
        loss_decode=dict(type='SoftIoULoss', smooth=1.0, per_image=False),
    ),
    test_cfg=dict(mode='whole'),
)
