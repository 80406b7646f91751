# ISNet as its authors released it: three channels, modulated deformable convolutions.
_base_ = './isnet.py'
model = dict(
    data_preprocessor=dict(
        _delete_=True,
        type='IRSTDPreProcessor',
        # ImageNet's; images are loaded as BGR
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    backbone=dict(in_channels=3),
    decode_head=dict(modulated=True),
)
