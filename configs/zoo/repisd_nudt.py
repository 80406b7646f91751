# RepISD-Net on NUDT-SIRST by the published recipe: Adagrad at 0.05, 600 epochs of 256×256 crops.
_base_ = [
    '../_base_/models/repisd.py',
    '../_base_/datasets/published_256.py',
    '../_base_/schedules/repisd.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(dataset=dict(name='NUDT-SIRST'))
val_dataloader = dict(dataset=dict(name='NUDT-SIRST'))
test_dataloader = dict(dataset=dict(name='NUDT-SIRST'))
selection = 'test'  # as published: the epoch with the best IoU on the test images is kept
default_hooks = dict(checkpoint=dict(save_best='IoU'))
