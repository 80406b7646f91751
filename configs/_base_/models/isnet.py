# ISNet as the field's tables have it: BasicIRSTD's port with one grey channel and deformable convolutions of
# version 1.
model = dict(
    type='IRSTDSegmentor',
    data_preprocessor=dict(type='IRSTDPreProcessor'),
    backbone=dict(type='ISNetEncoder', in_channels=1, base_channels=16, blocks=4),
    decode_head=dict(
        type='ISNetHead',
        blocks=4,
        edge_channels=64,
        modulated=False,
        dropout_ratio=0.1,
        soft_targets=False,
        loss_decode=dict(type='SoftIoULoss', smooth=1.0, per_image=False),
        # published=True for the published loss, whose edges exceed 1 and which takes one sigmoid twice
        loss_edge=dict(type='EdgeLoss', bce_weight=10.0, smooth=1.0, published=False),
    ),
    test_cfg=dict(mode='whole'),
)
