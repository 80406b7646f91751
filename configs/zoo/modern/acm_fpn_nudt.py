# ACM (FPN) on NUDT-SIRST, the common recipe; maps keep their pixels in place at every size.
_base_ = [
    '../../_base_/models/acm_fpn_grey.py',
    '../../_base_/datasets/modern_nudt.py',
    '../../_base_/schedules/modern.py',
    '../../_base_/default_runtime.py',
]
model = dict(data_preprocessor=_base_.grey_stats)
