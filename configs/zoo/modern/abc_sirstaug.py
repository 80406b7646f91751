# ABC-S on SIRST-AUG, the common recipe; images larger than its side of 256 are tested by tiles.
_base_ = [
    '../../_base_/models/abc.py',
    '../../_base_/datasets/modern_sirstaug.py',
    '../../_base_/schedules/modern.py',
    '../../_base_/default_runtime.py',
]
model = dict(
    data_preprocessor=dict(_delete_=True, type='IRSTDPreProcessor', **_base_.grey_stats),
    backbone=dict(in_channels=1),
    decode_head=dict(soft_targets=False, loss_decode=dict(per_image=True)),
    test_cfg=dict(_delete_=True, mode='slide', crop_size=(256, 256), stride=(192, 192)),
)
