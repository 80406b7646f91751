# ABC-S for images of 256×256: attention with linear layers serves one size only, which is `side`.
model = dict(
    type='IRSTDSegmentor',
    data_preprocessor=dict(type='IRSTDPreProcessor'),
    backbone=dict(type='ABCEncoder', in_channels=3, base_channels=16, side=256),
    decode_head=dict(
        type='ABCHead',
        deep_supervision=True,
        soft_targets=True,
        loss_decode=dict(type='SoftIoULoss', smooth=1.0, per_image=False),
    ),
    test_cfg=dict(mode='whole'),
)
