# MAD-Net of width 16 by the common recipe.
_base_ = './madnet_nano.py'
model = dict(backbone=dict(base_channels=16))
