# Hybrid with the memory module at the two deepest stages.
_base_ = './nano.py'
model = dict(backbone=dict(num_stages=3), neck=[dict(type='MemA2MNeck'), dict(type='MemA2MNeck')])
