# What the field's tables have as ALCNet, by the recipe of the BasicIRSTD toolbox.
_base_ = '../acm/acm_toolbox.py'
model = dict(
    backbone=dict(blocks=4), neck=dict(_delete_=True, type='ALCNetBasicNeck'), decode_head=dict(stride=2)
)
