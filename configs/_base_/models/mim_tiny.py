# MiM-ISTD for one grey channel at half the published widths, with deep supervision, the loss taken per image.
# The published head narrows to a quarter of the finest map's channels before the last convolution. Of these
# widths that leaves four, and training stalls; sixteen let it start. Coarse maps, with pixels larger than
# most targets, weigh less. The data set's base gives mean and std.
_base_ = './mim.py'
model = dict(
    data_preprocessor=dict(_delete_=True, type='IRSTDPreProcessor', mean=[105.0], std=[40.0]),
    backbone=dict(in_channels=1, base_channels=16, word_channels=2),
    decode_head=dict(
        channels=16,
        deep_supervision=True,
        loss_weights=[0.5, 0.25, 0.1, 1.0],
        loss_decode=dict(per_image=True),
    ),
)
