# ISNet on SIRST-AUG by the common recipe.
_base_ = [
    '../../_base_/models/isnet.py',
    '../../_base_/datasets/modern_sirstaug.py',
    '../../_base_/schedules/modern.py',
    '../../_base_/default_runtime.py',
]
model = dict(
    data_preprocessor=_base_.grey_stats,
    decode_head=dict(loss_decode=dict(per_image=True), loss_edge=dict(per_image=True)),
)
