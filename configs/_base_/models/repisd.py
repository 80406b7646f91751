# RepISD-Net as published: three channels, 32 and 64 wide, one logit map (the one of the published two that is
# used), the dice loss of every image with squares. As in the published code all kernels start as
# Xavier-normal (biases here at 0, there at PyTorch's). To fold as the published converter does, without the
# 1×1 convolutions' biases, set published_fold=True in backbone and decode_head.
xavier = dict(type='Xavier', layer='Conv2d', distribution='normal')
model = dict(
    type='IRSTDSegmentor',
    data_preprocessor=dict(
        type='IRSTDPreProcessor',
        # The published script's for training. For testing it has another pair, its demo this one.
        mean=[90.423, 90.372, 90.6015],
        std=[67.167, 67.116, 67.2945],
        bgr_to_rgb=True,
    ),
    backbone=dict(type='RepISDEncoder', in_channels=3, base_channels=32, init_cfg=xavier),
    decode_head=dict(
        type='RepISDHead',
        dropout_ratio=0.1,
        soft_targets=True,
        # As published, where crops without a target have no gradient; smooth_numerator=True gives them one.
        loss_decode=dict(
            type='SoftDiceLoss', smooth=2e-3, per_image=True, squared=True, smooth_numerator=False
        ),
        init_cfg=xavier,
    ),
    test_cfg=dict(mode='whole'),
)
