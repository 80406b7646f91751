# A cross entropy beside the IoU loss from the first step on.
_base_ = './nano.py'
model = dict(
    decode_head=dict(
        loss_decode=[
            dict(type='SoftIoULoss', smooth=1.0, per_image=True),
            dict(type='MaskBCELoss', loss_weight=1.0),
        ]
    )
)
