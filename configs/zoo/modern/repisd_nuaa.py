# RepISD-Net on NUAA-SIRST, the common recipe.
_base_ = [
    '../../_base_/models/repisd.py',
    '../../_base_/datasets/modern_nuaa.py',
    '../../_base_/schedules/modern.py',
    '../../_base_/default_runtime.py',
]
model = dict(
    data_preprocessor=dict(_delete_=True, type='IRSTDPreProcessor', **_base_.grey_stats),
    backbone=dict(in_channels=1),
    decode_head=dict(soft_targets=False, loss_decode=dict(_delete_=True, type='SoftIoULoss', per_image=True)),
)
