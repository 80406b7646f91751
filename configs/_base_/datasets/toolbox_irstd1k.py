# IRSTD-1K through the toolbox's pipelines. Its statistics and its split.
_base_ = './toolbox.py'
grey_stats = dict(mean=[87.4662], std=[39.7195])
train_pipeline = [*_base_.load, dict(type='ToolboxCrop', size=256, pad_value=87.4662), *_base_.turn]
train_dataloader = dict(dataset=dict(name='IRSTD-1K', split_set='basicirstd', pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(name='IRSTD-1K', split_set='basicirstd'))
test_dataloader = dict(dataset=dict(name='IRSTD-1K', split_set='basicirstd'))
