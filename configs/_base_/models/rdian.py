# RDIAN as published: one grey channel, one logit map.
model = dict(
    type='IRSTDSegmentor',
    data_preprocessor=dict(type='IRSTDPreProcessor'),
    backbone=dict(type='RDIANEncoder', in_channels=1, base_channels=16),
    decode_head=dict(
        type='RDIANHead',
        dropout_ratio=0.1,
        soft_targets=False,
        loss_decode=dict(type='SoftIoULoss', smooth=1.0, per_image=False),
    ),
    test_cfg=dict(mode='whole'),
)
