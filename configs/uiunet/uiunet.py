# UIU-Net by the common recipe.
_base_ = [
    '../_base_/models/uiunet.py',
    '../_base_/data/common.py',
    '../_base_/recipes/common.py',
    '../_base_/default_runtime.py',
]
model = dict(
    backbone=dict(in_channels=1), decode_head=dict(soft_targets=False, loss_decode=_base_._common_loss)
)
