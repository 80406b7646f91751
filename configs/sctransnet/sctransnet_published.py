# SCTransNet by the published recipe: Adam at 1e-3 after ten epochs of warm-up, a cosine down to 1e-5, 1000
# epochs. Its authors train one network on NUAA-SIRST, NUDT-SIRST and IRSTD-1K together, and draw crops anew
# until half of them hold a target.
_base_ = [
    '../_base_/models/sctransnet.py',
    '../_base_/data/toolbox.py',
    '../_base_/default_runtime.py',
]
# the toolbox's figures for NUAA-SIRST, whatever the data set
_statistics = dict(mean=[101.0639], std=[34.6196])
model = dict(
    data_preprocessor=dict(**_statistics, **_base_._test_padding), decode_head=dict(soft_targets=True)
)
per_dataset = {name: dict(model=dict(data_preprocessor=_statistics)) for name in ('NUDT-SIRST', 'IRSTD-1K')}
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-3))
param_scheduler = [dict(type='PublishedCosineLR', warmup=10, eta_min_ratio=0.01, by_epoch=True)]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=1000, val_begin=500, val_interval=1)
selection = 'test'  # as published: the epoch with the best IoU on the test images is kept
default_hooks = dict(checkpoint=dict(save_best='IoU'))
