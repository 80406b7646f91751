# ABC-S on NUAA-SIRST by the published recipe: 1500 epochs, AdamW at 3e-4, SoftIoU on six maps of 512×512.
_base_ = [
    '../_base_/models/abc.py',
    '../_base_/datasets/published.py',
    '../_base_/schedules/published.py',
    '../_base_/default_runtime.py',
]
model = dict(backbone=dict(side=512))
train_dataloader = dict(batch_size=32, dataset=dict(name='NUAA-SIRST'))
val_dataloader = dict(dataset=dict(name='NUAA-SIRST'))
test_dataloader = dict(dataset=dict(name='NUAA-SIRST'))
optim_wrapper = dict(optimizer=dict(lr=3e-4))
train_cfg = dict(max_epochs=1500)
