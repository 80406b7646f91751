# The tiny MiM-ISTD at a quarter of the published widths.
_base_ = './mim_tiny.py'
model = dict(backbone=dict(base_channels=8, word_channels=1))
