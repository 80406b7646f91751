# Hybrid: MiM-ISTD's encoder under MAD-Net's head with its deep supervision, the finest map at stride 4.
_base_ = './mim_nuaa.py'
model = dict(
    decode_head=dict(
        _delete_=True,
        type='MADNetHead',
        deep_supervision=True,
        soft_targets=False,
        loss_decode=dict(type='SoftIoULoss', smooth=1.0, per_image=False),
    )
)
