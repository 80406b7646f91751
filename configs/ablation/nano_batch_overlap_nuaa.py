# The overlap over the batch, where large targets weigh more, instead of per image.
_base_ = './nano_nuaa.py'
model = dict(decode_head=dict(loss_decode=dict(per_image=False)))
