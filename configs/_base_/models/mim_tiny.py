# MiM-ISTD for one grey channel at half the published widths, with deep supervision, the loss taken per image.
# The data set's base gives mean and std.
_base_ = './mim.py'
model = dict(
    data_preprocessor=dict(_delete_=True, type='IRSTDPreProcessor', mean=[105.0], std=[40.0]),
    backbone=dict(in_channels=1, base_channels=16, word_channels=2),
    decode_head=dict(deep_supervision=True, loss_decode=dict(per_image=True)),
)
