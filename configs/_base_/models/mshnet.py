# MSHNet as published: three channels, widths 16 … 256; six epochs of 1 − IoU on the finest map, then the
# mean of the SLS losses of five maps. The published loss has no gradient against false alarms in crops
# without a target, and is NaN once the network is sure of one; published_empty=True brings that back.
model = dict(
    type='IRSTDSegmentor',
    data_preprocessor=dict(
        type='IRSTDPreProcessor',
        # ImageNet's, as published; images are loaded as BGR
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    backbone=dict(type='MSHNetEncoder', in_channels=3, base_channels=16),
    decode_head=dict(
        type='MSHNetHead',
        warm_epoch=5,
        soft_targets=True,
        loss_decode=dict(type='SLSLoss', with_shape=True, published_empty=False),
        loss_weights=[0.2, 0.2, 0.2, 0.2, 0.2],
    ),
    test_cfg=dict(mode='whole'),
)
find_unused_parameters = True  # in several processes: the coarser maps have no gradient while warming up
