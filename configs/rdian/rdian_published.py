# RDIAN by its authors' recipe for NUAA-SIRST: Adagrad at 0.005 with a polynomial decay, 300 epochs, batches
# of 8.
_base_ = [
    '../_base_/models/rdian.py',
    '../_base_/data/published_480.py',
    '../_base_/recipes/adagrad.py',
    '../_base_/default_runtime.py',
]
# their mean -0.1246 and deviation 1.0923 of grey levels over 255
model = dict(
    data_preprocessor=dict(mean=[-0.1246 * 255], std=[1.0923 * 255]),
    decode_head=dict(loss_decode=dict(per_image=True)),
)
replace_steps = dict(LoadSIRSTImage=dict(channels=1))
optim_wrapper = dict(optimizer=dict(lr=0.005, weight_decay=1e-4))
# (1 - e / 301) ** 0.9 in epoch e; mmengine divides by end - 1
param_scheduler = [dict(type='PolyLR', power=0.9, eta_min=1e-6, end=302, by_epoch=True)]
train_cfg = dict(max_epochs=300)
