# The overlap alone, without a cross entropy beside it.
_base_ = './nano_nuaa.py'
model = dict(
    decode_head=dict(loss_decode=dict(_delete_=True, type='SoftIoULoss', smooth=1.0, per_image=True))
)
