# ABC-S with three channels, for images of 256×256: attention with linear layers serves one size only, which
# is `side`. ABC-B and ABC-L have base_channels 32 and 64: configs/zoo/abc_b_* and abc_l_*.
model = dict(
    type='IRSTDSegmentor',
    data_preprocessor=dict(
        type='IRSTDPreProcessor',
        # ImageNet's, as published; images are loaded as BGR
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    backbone=dict(type='ABCEncoder', in_channels=3, base_channels=16, side=256),
    decode_head=dict(
        type='ABCHead',
        deep_supervision=True,
        soft_targets=True,
        loss_decode=dict(type='SoftIoULoss', smooth=1.0, per_image=False),
    ),
    test_cfg=dict(mode='whole'),
)
