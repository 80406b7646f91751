# A rate that stays high and then falls, beside the overlap over the batch.
_base_ = './nano_batch_overlap_nuaa.py'
param_scheduler = _base_.flat_then_decay
