# MiM-ISTD at a quarter of the published widths by the common recipe.
_base_ = './mim_tiny.py'
model = dict(backbone=dict(base_channels=8, word_channels=1))
