# MSHNet on SIRST-AUG by the published recipe: Adagrad at 0.05, 400 epochs of 256×256 crops in batches of 4.
_base_ = [
    '../_base_/models/mshnet.py',
    '../_base_/datasets/published_256.py',
    '../_base_/schedules/mshnet.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(batch_size=4, dataset=dict(name='SIRST-AUG'))
val_dataloader = dict(dataset=dict(name='SIRST-AUG'))
test_dataloader = dict(dataset=dict(name='SIRST-AUG'))
selection = 'test'  # as published: the epoch with the best IoU on the test images is kept
default_hooks = dict(checkpoint=dict(save_best='IoU'))
