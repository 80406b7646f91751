# ACM as it is mostly compared with: the U-Net host with a stem of stride 4 and three blocks a layer.
model = dict(
    type='IRSTDSegmentor',
    data_preprocessor=dict(type='IRSTDPreProcessor'),
    backbone=dict(type='ThinResNet', in_channels=3, blocks=3, stem_stride=4),
    neck=dict(type='ACMUNetNeck', blocks=3),
    decode_head=dict(
        type='FCNSegHead',
        dropout_ratio=0.1,
        loss_decode=dict(type='SoftIoULoss', smooth=1.0, per_image=False),
    ),
    test_cfg=dict(mode='whole'),
)
