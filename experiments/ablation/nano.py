# What the parts of a recipe are compared with: MAD-Net of width 4 on NUAA-SIRST in small crops, by the recipe
# that was the common one before this comparison (IoU loss per image, a cosine), in a budget that pays for
# many seeds.
_base_ = '../../configs/madnet/madnet_nano.py'
model = dict(
    decode_head=dict(loss_decode=dict(_delete_=True, type='SoftIoULoss', smooth=1.0, per_image=True))
)
replace_steps = dict(RandomTargetCrop=dict(size=128))
param_scheduler = [
    dict(
        type='WarmupCosineLR', warmup_steps=100, eta_min_ratio=0.01, by_epoch=True, convert_to_iter_based=True
    )
]
train_cfg = dict(max_epochs=20, val_interval=20)
