# NUAA-SIRST through the toolbox's pipelines. Its statistics and its split.
_base_ = './toolbox.py'
grey_stats = dict(mean=[101.0639], std=[34.6196])
train_pipeline = [*_base_.load, dict(type='ToolboxCrop', size=256, pad_value=101.0639), *_base_.turn]
train_dataloader = dict(dataset=dict(name='NUAA-SIRST', split_set='basicirstd', pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(name='NUAA-SIRST', split_set='basicirstd'))
test_dataloader = dict(dataset=dict(name='NUAA-SIRST', split_set='basicirstd'))
