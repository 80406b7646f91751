# MAD-Net of width 4 on the training parts of NUAA-SIRST, NUDT-SIRST and IRSTD-1K
# together: the first, longer part.
_base_ = [
    '../_base_/models/madnet_nano.py',
    '../_base_/datasets/modern_joint.py',
    '../_base_/schedules/modern.py',
    '../_base_/default_runtime.py',
]
selection = 'last'
model = dict(data_preprocessor=_base_.grey_stats)
train_cfg = dict(max_epochs=50)
