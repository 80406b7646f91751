# A rate that stays high for most of the run and then falls, instead of a cosine.
_base_ = './nano_nuaa.py'
param_scheduler = [
    dict(
        type='WarmupFlatDecayLR',
        warmup_steps=100,
        eta_min_ratio=0.01,
        by_epoch=True,
        convert_to_iter_based=True,
    )
]
