# MiM-ISTD on NUAA-SIRST at 512×512.
# What is known of the paper's recipe and what is chosen: _base_/schedules/mim.py.
_base_ = [
    './_base_/models/mim.py',
    './_base_/datasets/published.py',
    './_base_/schedules/mim.py',
    './_base_/default_runtime.py',
]
train_dataloader = dict(dataset=dict(name='NUAA-SIRST'))
val_dataloader = dict(dataset=dict(name='NUAA-SIRST'))
test_dataloader = dict(dataset=dict(name='NUAA-SIRST'))
