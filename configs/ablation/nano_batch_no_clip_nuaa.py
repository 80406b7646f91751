# Gradients as they are, not clipped, beside the overlap over the batch.
_base_ = './nano_batch_overlap_nuaa.py'
optim_wrapper = dict(clip_grad=None)
