# MAD-Net of width 4 on NUAA-SIRST alone, from the weights that three sets together gave: a smaller rate, a
# short run. The last epoch counts, for those weights have seen all training images.
_base_ = './madnet_nano_nuaa.py'
selection = 'last'
load_from = 'work_dirs/madnet_nano_joint_wide/last.pth'
model = dict(
    # the scale on which the weights were trained
    data_preprocessor=dict(mean=[99.423], std=[57.959]),
    decode_head=dict(loss_decode=_base_.overlap_and_cross_entropy),
)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
train_cfg = dict(max_epochs=15)
