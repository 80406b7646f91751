# MiM-ISTD of half the published widths on the training parts of NUAA-SIRST, NUDT-SIRST and IRSTD-1K
# together: what ships.
_base_ = [
    '../_base_/models/mim_tiny.py',
    '../_base_/datasets/modern_joint.py',
    '../_base_/schedules/modern.py',
    '../_base_/default_runtime.py',
]
selection = 'last'
model = dict(data_preprocessor=_base_.grey_stats)
