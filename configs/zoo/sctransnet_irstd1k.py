# SCTransNet on IRSTD-1K by the published recipe, except that its authors train one network on
# NUAA-SIRST, NUDT-SIRST and IRSTD-1K together, and draw crops anew until half of them hold a target.
_base_ = [
    '../_base_/models/sctransnet.py',
    '../_base_/datasets/toolbox_irstd1k.py',
    '../_base_/schedules/sctransnet.py',
    '../_base_/default_runtime.py',
]
model = dict(data_preprocessor=_base_.test_padding, decode_head=dict(soft_targets=True))
selection = 'test'  # as published: the epoch with the best IoU on the test images is kept
default_hooks = dict(checkpoint=dict(save_best='IoU'))
