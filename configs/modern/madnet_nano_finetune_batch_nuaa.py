# The same with the overlap taken over the batch: large targets weigh by their pixels, as they do in IoU.
_base_ = './madnet_nano_finetune_nuaa.py'
model = dict(
    decode_head=dict(
        loss_decode=[
            dict(type='SoftIoULoss', smooth=1.0, per_image=False),
            dict(type='MaskBCELoss', loss_weight=1.0),
        ]
    )
)
