# The nano MAD-Net at 16 channels on the finest map.
_base_ = './madnet_nano.py'
model = dict(backbone=dict(base_channels=16))
