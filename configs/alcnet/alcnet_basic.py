# What the field's tables have as ALCNet, a port without its local contrast, by the common recipe.
_base_ = '../acm/acm.py'
model = dict(
    backbone=dict(blocks=4), neck=dict(_delete_=True, type='ALCNetBasicNeck'), decode_head=dict(stride=2)
)
