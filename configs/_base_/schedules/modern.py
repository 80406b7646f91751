# A recipe for short budgets: a large rate with warm-up and cosine, clipped gradients, averaged weights.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=3e-3, betas=(0.9, 0.999), weight_decay=0.01),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = [
    dict(
        type='WarmupCosineLR', warmup_steps=200, eta_min_ratio=0.01, by_epoch=True, convert_to_iter_based=True
    )
]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=60, val_interval=1)
custom_hooks = [dict(type='EMAHook', ema_type='RampedEMA', decay=0.99)]
