# SCTransNet's schedule: Adam at 1e-3 after ten epochs of warm-up, a cosine down to 1e-5, 1000 epochs; the
# second half of them is validated.
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-3))
param_scheduler = [dict(type='PublishedCosineLR', warmup=10, eta_min_ratio=0.01, by_epoch=True)]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=1000, val_begin=500, val_interval=1)
