# ABC-S on SIRST-AUG by the published recipe: 500 epochs, AdamW at 1e-4, SoftIoU on six maps of 256×256.
_base_ = [
    '../_base_/models/abc.py',
    '../_base_/datasets/published.py',
    '../_base_/schedules/published.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(batch_size=32, dataset=dict(name='SIRST-AUG'))
val_dataloader = dict(dataset=dict(name='SIRST-AUG'))
test_dataloader = dict(dataset=dict(name='SIRST-AUG'))
optim_wrapper = dict(optimizer=dict(lr=1e-4))
train_cfg = dict(max_epochs=500)
