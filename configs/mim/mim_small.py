# MiM-ISTD at three quarters of the published widths by the common recipe.
_base_ = './mim_tiny.py'
model = dict(backbone=dict(base_channels=24, word_channels=3))
