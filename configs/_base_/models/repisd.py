# RepISD-Net as published: 32 and 64 wide, one logit map, kernels that start as Xavier-normal (biases here at
# 0, there at PyTorch's). To fold as the published converter does set published_fold=True in backbone and
# head.
_xavier = dict(type='Xavier', layer='Conv2d', distribution='normal')
model = dict(
    type='IRSTDSegmentor',
    data_preprocessor=dict(type='IRSTDPreProcessor'),
    backbone=dict(type='RepISDEncoder', in_channels=3, base_channels=32, init_cfg=_xavier),
    decode_head=dict(
        type='RepISDHead',
        dropout_ratio=0.1,
        soft_targets=True,
        # As published, where crops without a target have no gradient; smooth_numerator=True gives them one.
        loss_decode=dict(
            type='SoftDiceLoss', smooth=2e-3, per_image=True, squared=True, smooth_numerator=False
        ),
        init_cfg=_xavier,
    ),
    test_cfg=dict(mode='whole'),
)
