# NUDT-SIRST through the toolbox's pipelines. Its statistics and its split.
_base_ = './toolbox.py'
grey_stats = dict(mean=[107.8091], std=[33.0227])
train_pipeline = [*_base_.load, dict(type='ToolboxCrop', size=256, pad_value=107.8091), *_base_.turn]
train_dataloader = dict(dataset=dict(name='NUDT-SIRST', split_set='basicirstd', pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(name='NUDT-SIRST', split_set='basicirstd'))
test_dataloader = dict(dataset=dict(name='NUDT-SIRST', split_set='basicirstd'))
