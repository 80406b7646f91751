# A rate that stays high and then falls.
_base_ = './nano.py'
param_scheduler = [
    dict(
        type='WarmupFlatDecayLR',
        warmup_steps=100,
        eta_min_ratio=0.01,
        by_epoch=True,
        convert_to_iter_based=True,
    )
]
