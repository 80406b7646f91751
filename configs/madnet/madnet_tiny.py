# MAD-Net of width 8 by the common recipe.
_base_ = './madnet_nano.py'
model = dict(backbone=dict(base_channels=8))
