# The second part of the joint training with the overlap over the batch, which keeps all six maps alive: what
# ships as madnet_nano.
_base_ = './madnet_nano_joint_wide.py'
load_from = 'work_dirs/madnet_nano_joint_batch/last.pth'
model = dict(decode_head=dict(loss_decode=_base_.batch_overlap_and_cross_entropy))
train_cfg = dict(max_epochs=6)
