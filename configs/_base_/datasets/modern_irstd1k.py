# IRSTD-1K through the native-scale pipelines.
_base_ = './modern.py'
# of the training images, grey, 0-255
grey_stats = dict(mean=[87.353], std=[58.708])
train_dataloader = dict(dataset=dict(name='IRSTD-1K'))
val_dataloader = dict(dataset=dict(name='IRSTD-1K'))
test_dataloader = dict(dataset=dict(name='IRSTD-1K'))
