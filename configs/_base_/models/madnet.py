# MAD-Net (IEEE document 10777476) at the published width and with three channels.
# Its width is one number, D: the encoder has D, 2D, 4D, 8D channels, the neck's map 16D.
_base_channels = 16
_pyramid = [_base_channels * 2**i for i in range(5)]

model = dict(
    type='IRSTDSegmentor',
    data_preprocessor=dict(
        type='IRSTDPreProcessor',
        # ImageNet's, as published; images are loaded as BGR
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    backbone=dict(type='AdaDCMEncoder', in_channels=3, base_channels=_base_channels),
    neck=dict(type='MemA2MNeck', in_channels=_pyramid[:4], out_channels=_pyramid[4]),
    decode_head=dict(
        type='MADNetHead',
        in_channels=_pyramid,
        deep_supervision=True,
        loss_decode=dict(type='SoftIoULoss', smooth=1.0, per_image=False),
    ),
    test_cfg=dict(mode='whole'),
)
