# The tiny MiM-ISTD at the published widths.
_base_ = './mim_tiny.py'
model = dict(backbone=dict(base_channels=32, word_channels=4))
