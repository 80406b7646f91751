# MiM-ISTD at a quarter of the published widths by the common recipe. Words keep two channels: a LayerNorm on
# the single channel of a word would leave nothing of it.
_base_ = './mim_tiny.py'
model = dict(backbone=dict(base_channels=8, word_channels=2))
