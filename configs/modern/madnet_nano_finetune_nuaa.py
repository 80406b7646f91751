# MAD-Net of width 4 on NUAA-SIRST alone, from the weights of madnet_nano_joint.py: a smaller rate, a shorter
# run. The last epoch counts, for the joint run has seen all training images.
_base_ = './madnet_nano_nuaa.py'
selection = 'last'
# the scale on which the weights were trained
model = dict(data_preprocessor=dict(mean=[99.423], std=[57.959]))
load_from = 'work_dirs/madnet_nano_joint/last.pth'
optim_wrapper = dict(optimizer=dict(lr=1e-3))
train_cfg = dict(max_epochs=20)
