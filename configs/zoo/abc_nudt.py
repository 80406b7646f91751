# ABC-S on NUDT-SIRST by the published recipe: 1500 epochs, AdamW at 1e-4, SoftIoU on six maps of 256×256.
_base_ = [
    '../_base_/models/abc.py',
    '../_base_/datasets/published.py',
    '../_base_/schedules/published.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(batch_size=32, dataset=dict(name='NUDT-SIRST'))
val_dataloader = dict(dataset=dict(name='NUDT-SIRST'))
test_dataloader = dict(dataset=dict(name='NUDT-SIRST'))
optim_wrapper = dict(optimizer=dict(lr=1e-4))
train_cfg = dict(max_epochs=1500)
