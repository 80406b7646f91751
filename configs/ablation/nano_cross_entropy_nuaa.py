# A cross entropy beside the overlap from the first step on.
_base_ = './nano_nuaa.py'
model = dict(
    decode_head=dict(
        loss_decode=[
            dict(type='SoftIoULoss', smooth=1.0, per_image=True),
            dict(type='MaskBCELoss', loss_weight=1.0),
        ]
    )
)
