# ACM in its U-Net host by the recipe of the BasicIRSTD toolbox, with which the field's tables have it.
_base_ = [
    '../_base_/models/acm.py',
    '../_base_/data/toolbox.py',
    '../_base_/recipes/toolbox.py',
    '../_base_/default_runtime.py',
]
model = dict(
    data_preprocessor=_base_._test_padding,
    backbone=dict(in_channels=1),
    decode_head=dict(soft_targets=True),
)
selection = 'last'
