# UIU-Net at the published width, with binary cross entropy on its seven maps.
model = dict(
    type='IRSTDSegmentor',
    data_preprocessor=dict(type='IRSTDPreProcessor'),
    backbone=dict(type='UIUNetEncoder', in_channels=3, base_channels=64),
    decode_head=dict(type='UIUNetHead', soft_targets=True, loss_decode=dict(type='MaskBCELoss')),
    test_cfg=dict(mode='whole'),
)
