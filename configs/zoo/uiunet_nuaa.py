# UIU-Net on NUAA-SIRST by the published recipe: Adam at a constant 1e-3, 500 epochs, batches of 3 at 288×288.
_base_ = [
    '../_base_/models/uiunet.py',
    '../_base_/datasets/published_uiunet.py',
    '../_base_/schedules/uiunet.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(dataset=dict(name='NUAA-SIRST'))
val_dataloader = dict(dataset=dict(name='NUAA-SIRST'))
test_dataloader = dict(dataset=dict(name='NUAA-SIRST'))
