# UIU-Net at the published width, with binary cross entropy on its seven maps. Images are divided by their
# maximum (see the data sets' base) and normalised by ImageNet's red channel on all three.
model = dict(
    type='IRSTDSegmentor',
    data_preprocessor=dict(type='IRSTDPreProcessor', mean=[123.675] * 3, std=[58.395] * 3),
    backbone=dict(type='UIUNetEncoder', in_channels=3, base_channels=64),
    decode_head=dict(type='UIUNetHead', soft_targets=True, loss_decode=dict(type='MaskBCELoss')),
    test_cfg=dict(mode='whole'),
)
