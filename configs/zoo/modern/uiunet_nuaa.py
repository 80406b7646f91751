# UIU-Net on NUAA-SIRST, the common recipe.
_base_ = [
    '../../_base_/models/uiunet_grey.py',
    '../../_base_/datasets/modern_nuaa.py',
    '../../_base_/schedules/modern.py',
    '../../_base_/default_runtime.py',
]
model = dict(data_preprocessor=_base_.grey_stats)
