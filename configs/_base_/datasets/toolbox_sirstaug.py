# SIRST-AUG through the toolbox's pipelines. Not among its sets: statistics of the training images.
_base_ = './toolbox.py'
grey_stats = dict(mean=[73.211], std=[63.541])
train_pipeline = [*_base_.load, dict(type='ToolboxCrop', size=256, pad_value=73.211), *_base_.turn]
train_dataloader = dict(dataset=dict(name='SIRST-AUG', pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(name='SIRST-AUG'))
test_dataloader = dict(dataset=dict(name='SIRST-AUG'))
