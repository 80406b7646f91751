# ACM's FPN host as ported to PyTorch, with a stem of stride 4 and four blocks a layer.
_base_ = './acm.py'
model = dict(
    backbone=dict(blocks=4),
    neck=dict(_delete_=True, type='ACMFPNNeck', stretch=True),
    decode_head=dict(stretch=True),
)
