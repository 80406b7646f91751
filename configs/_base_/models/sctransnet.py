# SCTransNet as published: one grey channel, widths 32 … 256, four transformer blocks, the sum of the losses
# of six maps; normalised by mean and std of NUAA-SIRST whatever the data set. As in the published code
# kernels start as Kaiming-normal, the factors of batch normalisation near 1.
kaiming = [
    dict(type='Kaiming', layer=['Conv2d', 'Conv1d', 'Linear'], mode='fan_in', distribution='normal'),
    dict(type='Normal', layer='BatchNorm2d', mean=1.0, std=0.02),
]
model = dict(
    type='IRSTDSegmentor',
    data_preprocessor=dict(type='IRSTDPreProcessor', mean=[101.0639], std=[34.6196]),
    backbone=dict(type='SCTransNetEncoder', in_channels=1, base_channels=32, init_cfg=kaiming),
    neck=dict(type='SCTransNetNeck', depth=4, init_cfg=kaiming),
    decode_head=dict(
        type='SCTransNetHead',
        deep_supervision=True,
        soft_targets=False,
        loss_decode=dict(type='MaskBCELoss'),
        init_cfg=kaiming,
    ),
    test_cfg=dict(mode='whole'),
)
