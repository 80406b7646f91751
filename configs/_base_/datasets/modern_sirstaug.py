# SIRST-AUG through the native-scale pipelines.
_base_ = './modern.py'
# of the training images, grey, 0-255
grey_stats = dict(mean=[73.211], std=[63.541])
train_dataloader = dict(dataset=dict(name='SIRST-AUG'))
val_dataloader = dict(dataset=dict(name='SIRST-AUG'))
test_dataloader = dict(dataset=dict(name='SIRST-AUG'))
