# The hybrid with the memory module at the two deepest stages, beside the overlap over the batch.
_base_ = './nano_batch_overlap_nuaa.py'
model = dict(backbone=dict(num_stages=3), neck=[dict(type='MemA2MNeck'), dict(type='MemA2MNeck')])
