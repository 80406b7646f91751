# MiM-ISTD at the published widths and with three channels: sentences of 32, 64, 128, 256 channels, words of
# 4, 8, 16, 32, two blocks a stage, one logit map. The layout of memory is the spatially meaningful one; for a
# published checkpoint, converted by tools/convert_checkpoint.py, set backbone.published_layout=True.
model = dict(
    type='IRSTDSegmentor',
    data_preprocessor=dict(
        type='IRSTDPreProcessor',
        # ImageNet's; images are loaded as BGR
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    backbone=dict(type='MiMEncoder', in_channels=3, base_channels=32, word_channels=4),
    decode_head=dict(
        type='MiMHead',
        dropout_ratio=0.1,
        deep_supervision=False,
        soft_targets=False,
        loss_decode=dict(type='SoftIoULoss', smooth=1.0, per_image=False),
    ),
    test_cfg=dict(mode='whole'),
)
