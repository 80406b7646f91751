# The published recipe of MAD-Net and ABC: AdamW, a polynomial curve per epoch after five epochs of warm-up.
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.01)
)
param_scheduler = [dict(type='PublishedPolyLR', warmup=5, power=0.9, by_epoch=True)]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=1500, val_interval=1)
per_dataset = {
    'NUAA-SIRST': dict(optim_wrapper=dict(optimizer=dict(lr=3e-4))),
    'IRSTD-1K': dict(train_cfg=dict(max_epochs=500)),
    'SIRST-AUG': dict(train_cfg=dict(max_epochs=500)),
}
