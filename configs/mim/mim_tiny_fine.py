# MiM-ISTD at half the published widths with masks as fine as the image: maps of strides 1 and 2 beside the
# encoder's own, whose finest has stride 4. Our variant; the published form is mim_published.py.
_base_ = './mim_tiny.py'
model = dict(
    backbone=dict(fine_channels=[8, 16]),
    # the maps of strides 2, 4, 8, 16, 32, then the prediction
    decode_head=dict(channels=8, loss_weights=[1.0, 0.5, 0.25, 0.1, 0.1, 1.0]),
)
