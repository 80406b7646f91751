# A cross entropy beside the overlap from the first step on.
_base_ = './nano_nuaa.py'
model = dict(decode_head=dict(loss_decode=_base_.overlap_and_cross_entropy))
