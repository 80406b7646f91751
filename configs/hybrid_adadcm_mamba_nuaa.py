# Hybrid: MAD-Net whose deepest stage is two Mamba blocks over the whole map in place of the memory module.
_base_ = [
    './_base_/models/madnet.py',
    './_base_/datasets/published.py',
    './_base_/schedules/mim.py',
    './_base_/default_runtime.py',
]
model = dict(neck=dict(_delete_=True, type='MambaNeck', depth=2))
train_dataloader = dict(dataset=dict(name='NUAA-SIRST'))
val_dataloader = dict(dataset=dict(name='NUAA-SIRST'))
test_dataloader = dict(dataset=dict(name='NUAA-SIRST'))
