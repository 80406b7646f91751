# The same with the overlap taken over the batch.
_base_ = './madnet_nano_finetune_irstd1k.py'
model = dict(decode_head=dict(loss_decode=_base_.batch_overlap_and_cross_entropy))
