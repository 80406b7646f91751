# Hybrid: the nano MAD-Net whose deepest stage is two Mamba blocks over the whole map; the common recipe.
_base_ = [
    '../_base_/models/madnet_nano.py',
    '../_base_/datasets/modern_nuaa.py',
    '../_base_/schedules/modern.py',
    '../_base_/default_runtime.py',
]
model = dict(
    data_preprocessor=_base_.grey_stats,
    neck=dict(_delete_=True, type='MambaNeck', depth=2),
)
