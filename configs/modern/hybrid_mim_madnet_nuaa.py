# Hybrid: the tiny MiM-ISTD's encoder under MAD-Net's head, finest map at stride 4; the common recipe.
_base_ = [
    '../_base_/models/mim_tiny.py',
    '../_base_/datasets/modern_nuaa.py',
    '../_base_/schedules/modern.py',
    '../_base_/default_runtime.py',
]
model = dict(
    data_preprocessor=_base_.grey_stats,
    decode_head=dict(
        _delete_=True, type='MADNetHead', loss_decode=dict(type='SoftIoULoss', smooth=1.0, per_image=True)
    ),
)
