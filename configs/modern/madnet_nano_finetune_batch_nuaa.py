# The same with the overlap taken over the batch: large targets weigh by their pixels, as they do in IoU.
_base_ = './madnet_nano_finetune_nuaa.py'
model = dict(decode_head=dict(loss_decode=_base_.batch_overlap_and_cross_entropy))
