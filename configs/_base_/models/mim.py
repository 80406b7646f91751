# MiM-ISTD at the published widths: sentences of 32, 64, 128, 256 channels, words of 4, 8, 16, 32, two blocks
# a stage, one logit map. For a converted published checkpoint set backbone.published_layout=True.
model = dict(
    type='IRSTDSegmentor',
    data_preprocessor=dict(type='IRSTDPreProcessor'),
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
