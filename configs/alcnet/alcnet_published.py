# ALCNet by its authors' recipe: Adagrad at a constant 0.1, 300 epochs, batches of 2.
_base_ = [
    '../_base_/models/alcnet.py',
    '../_base_/data/published_480.py',
    '../_base_/recipes/adagrad.py',
    '../_base_/default_runtime.py',
]
model = dict(data_preprocessor=_base_._imagenet)
train_dataloader = dict(batch_size=2)
optim_wrapper = dict(optimizer=dict(lr=0.1, weight_decay=1e-4))
train_cfg = dict(max_epochs=300)
