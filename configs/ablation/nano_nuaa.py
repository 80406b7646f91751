# What the parts of the modern recipe are compared with: MAD-Net of width 4 on NUAA-SIRST in small crops, a
# budget that many seeds can be paid with. See experiments/ablation/plan.yaml.
_base_ = '../modern/madnet_nano_nuaa.py'
train_pipeline = _base_.train_pipeline
train_pipeline[2].update(size=128)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
param_scheduler = [
    dict(
        type='WarmupCosineLR', warmup_steps=100, eta_min_ratio=0.01, by_epoch=True, convert_to_iter_based=True
    )
]
train_cfg = dict(max_epochs=20, val_interval=20)
