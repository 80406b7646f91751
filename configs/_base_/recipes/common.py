# The common recipe, for any network: IoU loss over the batch, a rate that stays high and then falls, clipped
# gradients, averaged weights, and a cross entropy for the last fifth of the run, when targets are found.
# Biases and norms are not pulled to zero, nor what says so itself: memory banks, gammas, A and D of the scan.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='GroupedOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=3e-3, betas=(0.9, 0.999), weight_decay=0.01, fused=True),
    paramwise_cfg=dict(bias_decay_mult=0.0, norm_decay_mult=0.0),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = [
    dict(
        type='WarmupFlatDecayLR',
        warmup_steps=100,
        eta_min_ratio=0.01,
        by_epoch=True,
        convert_to_iter_based=True,
    )
]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=60, val_interval=1)
custom_hooks = [dict(type='EMAHook', ema_type='RampedEMA', decay=0.99)]
# The gradient of a cross entropy does not vanish on a map that is all black, so it revives such maps; from
# the first step on it keeps a network from starting.
_common_loss = [
    dict(type='SoftIoULoss', smooth=1.0, per_image=False),
    dict(type='MaskBCELoss', loss_weight=1.0, begin=0.8),
]
