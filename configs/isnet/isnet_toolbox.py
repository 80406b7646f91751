# ISNet by the recipe of the BasicIRSTD toolbox, with which the field's tables have it.
_base_ = [
    '../_base_/models/isnet.py',
    '../_base_/data/toolbox.py',
    '../_base_/recipes/toolbox.py',
    '../_base_/default_runtime.py',
]
model = dict(data_preprocessor=_base_._test_padding, decode_head=dict(soft_targets=True))
selection = 'last'
