# MAD-Net of width 4 by the common recipe, for one grey channel and narrow enough for a CPU: 1/15 of the
# published cost.
_base_ = [
    '../_base_/models/madnet.py',
    '../_base_/data/common.py',
    '../_base_/recipes/common.py',
    '../_base_/default_runtime.py',
]
model = dict(
    backbone=dict(in_channels=1, base_channels=4),
    decode_head=dict(soft_targets=False, loss_decode=_base_._common_loss),
)
