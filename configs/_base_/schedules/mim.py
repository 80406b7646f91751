# A recipe for networks with a selective scan.
# Known of the paper's: an optimiser of AdamW's kind, images of 512×512 (NUAA-SIRST, IRSTD-1K) or 256×256
# (NUDT-SIRST, SIRST-AUG). No training code was published, and its other settings are not known.
# Chosen here: AdamW at 5e-4 with decay 0.01, 200 steps of warm-up and a cosine, clipped gradients, 500
# epochs. The configs add batches of 8, SoftIoU on the one logit map, and MAD-Net's published pipelines.
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
