# Hybrid: the tiny MiM-ISTD with one deeper map from MAD-Net's memory module; the common recipe.
_base_ = [
    '../_base_/models/mim_tiny.py',
    '../_base_/datasets/modern_nuaa.py',
    '../_base_/schedules/modern.py',
    '../_base_/default_runtime.py',
]
model = dict(
    data_preprocessor=_base_.grey_stats,
    neck=dict(type='MemA2MNeck'),
    decode_head=dict(loss_weights=[0.5, 0.25, 0.1, 0.1, 1.0]),
)
