# RepISD-Net by the published recipe: Adagrad at a constant 0.05 (its cosine is stepped once only), 600 epochs
# of 256×256 crops, the default of its script (its README says 500, its log has 1500).
_base_ = [
    '../_base_/models/repisd.py',
    '../_base_/data/published.py',
    '../_base_/recipes/adagrad.py',
    '../_base_/default_runtime.py',
]
model = dict(
    # the published script's for training; for testing it has another pair, its demo this one
    data_preprocessor=dict(mean=[90.423, 90.372, 90.6015], std=[67.167, 67.116, 67.2945], bgr_to_rgb=True)
)
base_size = 256
train_dataloader = dict(batch_size=16)
optim_wrapper = dict(optimizer=dict(weight_decay=1e-4))
train_cfg = dict(max_epochs=600)
selection = 'test'  # as published: the epoch with the best IoU on the test images is kept
default_hooks = dict(checkpoint=dict(save_best='IoU'))
