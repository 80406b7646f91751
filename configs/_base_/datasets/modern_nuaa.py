# NUAA-SIRST through the native-scale pipelines.
_base_ = './modern.py'
# of the training images, grey, 0-255
grey_stats = dict(mean=[114.349], std=[57.016])
train_dataloader = dict(dataset=dict(name='NUAA-SIRST'))
val_dataloader = dict(dataset=dict(name='NUAA-SIRST'))
test_dataloader = dict(dataset=dict(name='NUAA-SIRST'))
