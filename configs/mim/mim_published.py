# MiM-ISTD at the published widths. Known of the paper's recipe are an optimiser of AdamW's kind and images of
# 512×512 (NUAA-SIRST, IRSTD-1K) or 256×256; the rest is chosen here, for no training code was published.
_base_ = [
    '../_base_/models/mim.py',
    '../_base_/data/published.py',
    '../_base_/default_runtime.py',
]
model = dict(data_preprocessor=_base_._imagenet)
optim_wrapper = dict(
    type='OptimWrapper',
    # leaves A and D of the scan undecayed: decaying the logarithms of A would pull every state to the same
    # memory, and D to no direct path
    constructor='GroupedOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=5e-4, betas=(0.9, 0.999), weight_decay=0.01),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = [
    dict(
        type='WarmupCosineLR', warmup_steps=200, eta_min_ratio=0.01, by_epoch=True, convert_to_iter_based=True
    )
]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=500, val_interval=1)
