# What the field's tables have as ALCNet, a port without its local contrast: a stem of stride 4, four blocks
# a layer, and a map of stride 2 to classify.
_base_ = './acm.py'
model = dict(
    backbone=dict(blocks=4),
    neck=dict(_delete_=True, type='ALCNetBasicNeck'),
    decode_head=dict(stride=2),
)
