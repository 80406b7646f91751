# MiM-ISTD at the published widths by the common recipe.
_base_ = './mim_tiny.py'
model = dict(backbone=dict(base_channels=32, word_channels=4))
