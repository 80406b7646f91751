# DNANet: widths 16 … 256, blocks as in ResNet-18, the mean of the losses of four maps. As in the published
# code all kernels start as Xavier-normal (biases here at 0, there at PyTorch's).
_xavier = dict(type='Xavier', layer='Conv2d', distribution='normal')
model = dict(
    type='IRSTDSegmentor',
    data_preprocessor=dict(type='IRSTDPreProcessor'),
    backbone=dict(
        type='DNANetEncoder', in_channels=3, base_channels=16, depths=(1, 2, 2, 2, 2), init_cfg=_xavier
    ),
    decode_head=dict(
        type='DNANetHead',
        depths=(1, 2, 2, 2),
        deep_supervision=True,
        soft_targets=True,
        loss_decode=dict(type='SoftIoULoss', smooth=1.0, per_image=False),
        loss_weights=[0.25, 0.25, 0.25, 0.25],
        init_cfg=_xavier,
    ),
    test_cfg=dict(mode='whole'),
)
