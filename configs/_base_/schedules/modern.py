# The common recipe of short budgets, for any network: a large rate with warm-up and cosine, clipped
# gradients, averaged weights. What carries scale or memory rather than direction is not pulled to zero:
# biases, norms, and the parameters that say so themselves, such as memory banks.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='GroupedOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=3e-3, betas=(0.9, 0.999), weight_decay=0.01, fused=True),
    paramwise_cfg=dict(bias_decay_mult=0.0, norm_decay_mult=0.0),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = [
    dict(
        type='WarmupCosineLR', warmup_steps=200, eta_min_ratio=0.01, by_epoch=True, convert_to_iter_based=True
    )
]
# Instead of the cosine, for short runs: param_scheduler = _base_.flat_then_decay (docs/results.md).
flat_then_decay = [
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
# For what already finds targets: the gradient of a cross entropy does not vanish on a map that is all black.
# From the first step on it keeps a network from starting (docs/results.md).
overlap_and_cross_entropy = [
    dict(type='SoftIoULoss', smooth=1.0, per_image=True),
    dict(type='MaskBCELoss', loss_weight=1.0),
]
# The same with the overlap over the batch: large targets weigh by their pixels, as they do in IoU.
batch_overlap_and_cross_entropy = [
    dict(type='SoftIoULoss', smooth=1.0, per_image=False),
    dict(type='MaskBCELoss', loss_weight=1.0),
]
