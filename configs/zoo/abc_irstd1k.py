# ABC-S on IRSTD-1K by the published recipe: 500 epochs, AdamW at 1e-4, SoftIoU on six maps of 512×512.
_base_ = [
    '../_base_/models/abc.py',
    '../_base_/datasets/published.py',
    '../_base_/schedules/published.py',
    '../_base_/default_runtime.py',
]
model = dict(backbone=dict(side=512))
train_dataloader = dict(batch_size=32, dataset=dict(name='IRSTD-1K'))
val_dataloader = dict(dataset=dict(name='IRSTD-1K'))
test_dataloader = dict(dataset=dict(name='IRSTD-1K'))
optim_wrapper = dict(optimizer=dict(lr=1e-4))
train_cfg = dict(max_epochs=500)
