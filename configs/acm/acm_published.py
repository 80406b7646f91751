# ACM as its authors released it, by their recipe: Adagrad at a constant 0.05, 300 epochs, batches of 8. Their
# script builds a decaying curve too, and hands it to other optimisers only.
_base_ = [
    '../_base_/models/acm_authors.py',
    '../_base_/data/published_480.py',
    '../_base_/recipes/adagrad.py',
    '../_base_/default_runtime.py',
]
model = dict(data_preprocessor=_base_._imagenet)
optim_wrapper = dict(optimizer=dict(weight_decay=1e-4))
train_cfg = dict(max_epochs=300)
