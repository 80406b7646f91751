# ACM (FPN) on NUDT-SIRST, the common recipe; maps keep their pixels in place at every size.
_base_ = [
    '../../_base_/models/acm_fpn.py',
    '../../_base_/datasets/modern_nudt.py',
    '../../_base_/schedules/modern.py',
    '../../_base_/default_runtime.py',
]
model = dict(
    data_preprocessor=dict(_delete_=True, type='IRSTDPreProcessor', **_base_.grey_stats),
    backbone=dict(in_channels=1),
    neck=dict(stretch=False),
    decode_head=dict(stretch=False, loss_decode=dict(per_image=True)),
)
