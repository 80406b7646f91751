# ABC-S by the common recipe; images larger than its side of 256 are tested by tiles.
_base_ = [
    '../_base_/models/abc.py',
    '../_base_/data/common.py',
    '../_base_/recipes/common.py',
    '../_base_/default_runtime.py',
]
model = dict(
    backbone=dict(in_channels=1),
    decode_head=dict(soft_targets=False, loss_decode=_base_._common_loss),
    test_cfg=dict(_delete_=True, mode='slide', crop_size=(256, 256), stride=(192, 192)),
)
