# ACM in its FPN host, with four blocks a layer, by the common recipe.
_base_ = './acm.py'
model = dict(
    backbone=dict(blocks=4),
    neck=dict(_delete_=True, type='ACMFPNNeck', stretch=False),
    decode_head=dict(stretch=False),
)
