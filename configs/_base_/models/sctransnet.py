# SCTransNet as published: one grey channel, widths 32 … 256, four transformer blocks, the sum of the losses
# of six maps. Kernels start as Kaiming-normal, the factors of batch normalisation near 1.
_kaiming = [
    dict(type='Kaiming', layer=['Conv2d', 'Conv1d', 'Linear'], mode='fan_in', distribution='normal'),
    dict(type='Normal', layer='BatchNorm2d', mean=1.0, std=0.02),
]
model = dict(
    type='IRSTDSegmentor',
    data_preprocessor=dict(type='IRSTDPreProcessor'),
    backbone=dict(type='SCTransNetEncoder', in_channels=1, base_channels=32, init_cfg=_kaiming),
    neck=dict(type='SCTransNetNeck', depth=4, init_cfg=_kaiming),
    decode_head=dict(
        type='SCTransNetHead',
        deep_supervision=True,
        soft_targets=False,
        loss_decode=dict(type='MaskBCELoss'),
        init_cfg=_kaiming,
    ),
    test_cfg=dict(mode='whole'),
)
