# The second part of MAD-Net of width 4 on three sets together: larger crops, and beside the overlap a
# cross entropy, whose gradient does not vanish on a map that has fallen to all black (in the first part s4
# and s5 do).
_base_ = [
    '../_base_/models/madnet_nano.py',
    '../_base_/datasets/modern_joint_wide.py',
    '../_base_/schedules/modern.py',
    '../_base_/default_runtime.py',
]
selection = 'last'
load_from = 'work_dirs/madnet_nano_joint/last.pth'
model = dict(
    data_preprocessor=_base_.grey_stats,
    decode_head=dict(loss_decode=_base_.overlap_and_cross_entropy),
)
optim_wrapper = dict(optimizer=dict(lr=1.5e-3))
train_cfg = dict(max_epochs=12)
