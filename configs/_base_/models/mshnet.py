# MSHNet as published, widths 16 … 256: six epochs of 1 − IoU on the finest map, then the mean of the SLS
# losses of five maps. The published loss is NaN where the network is sure of a false alarm in a crop without
# a target; published_empty=True brings that back.
model = dict(
    type='IRSTDSegmentor',
    data_preprocessor=dict(type='IRSTDPreProcessor'),
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
