# ACM as its authors released it: the U-Net host at full resolution, four blocks a layer, initialised for
# PReLU (a normal distribution of variance 2 / (1 + 0.25²) / mean of fan-in and fan-out).
_base_ = './acm.py'
model = dict(
    backbone=dict(blocks=4, stem_stride=1, input_affine=False),
    neck=dict(blocks=4),
    decode_head=dict(align_corners=True),
    init_cfg=dict(
        type='Xavier', gain=1.372, distribution='normal', bias=0, layer=['Conv2d', 'ConvTranspose2d']
    ),
)
