# ISNet as its authors released it, by their recipe for NUAA-SIRST: Adagrad under a cosine that falls and
# rises every 60 epochs, 3000 epochs, no blur. (Theirs also: losses without smoothing, 0/0 on empty images.)
_base_ = [
    '../_base_/models/isnet.py',
    '../_base_/data/published_480.py',
    '../_base_/recipes/adagrad.py',
    '../_base_/default_runtime.py',
]
model = dict(
    data_preprocessor=_base_._imagenet,
    backbone=dict(in_channels=3),
    decode_head=dict(modulated=True, loss_decode=dict(per_image=True), loss_edge=dict(per_image=True)),
)
replace_steps = dict(PublishedBlur=None)
train_dataloader = dict(batch_size=12)
optim_wrapper = dict(optimizer=dict(weight_decay=1e-4))
param_scheduler = [dict(type='CosineAnnealingLR', T_max=30, by_epoch=True)]
train_cfg = dict(max_epochs=3000)
