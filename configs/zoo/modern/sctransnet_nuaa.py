# SCTransNet on NUAA-SIRST, the common recipe.
_base_ = [
    '../../_base_/models/sctransnet.py',
    '../../_base_/datasets/modern_nuaa.py',
    '../../_base_/schedules/modern.py',
    '../../_base_/default_runtime.py',
]
model = dict(
    data_preprocessor=_base_.grey_stats,
    decode_head=dict(soft_targets=False, loss_decode=dict(_delete_=True, type='SoftIoULoss', per_image=True)),
)
