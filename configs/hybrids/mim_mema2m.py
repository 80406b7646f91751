# Hybrid: the tiny MiM-ISTD with one deeper map from MAD-Net's memory module.
_base_ = '../mim/mim_tiny.py'
model = dict(
    neck=dict(type='MemA2MNeck'),
    decode_head=dict(loss_weights=[0.5, 0.25, 0.1, 0.1, 1.0]),
)
