# A narrow MAD-Net (1/16 of the published cost) on NUAA-SIRST by a recipe for two CPU cores.
_base_ = [
    './_base_/models/madnet_grey.py',
    './_base_/datasets/modern.py',
    './_base_/schedules/modern.py',
    './_base_/default_runtime.py',
]
# of the training images of idx_427, grey, 0-255
model = dict(data_preprocessor=dict(mean=[114.349], std=[57.016]))
train_dataloader = dict(dataset=dict(name='NUAA-SIRST'))
val_dataloader = dict(dataset=dict(name='NUAA-SIRST'))
test_dataloader = dict(dataset=dict(name='NUAA-SIRST'))
