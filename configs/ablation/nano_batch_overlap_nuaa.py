# The overlap over the batch, where large targets weigh more, instead of per image.
_base_ = './nano_nuaa.py'
model = dict(
    decode_head=dict(
        loss_decode=[
            dict(type='SoftIoULoss', smooth=1.0, per_image=False),
            dict(type='MaskBCELoss', loss_weight=1.0),
        ]
    )
)
