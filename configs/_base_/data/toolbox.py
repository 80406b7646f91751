# The pipelines of the BasicIRSTD toolbox: one grey channel, crops of 256 of which half are placed around a
# target, all eight orientations; tested on whole images, padded to multiples of 32 after normalisation.
_base_ = './common.py'
train_pipeline = [
    dict(type='LoadSIRSTImage', channels=1),
    dict(type='LoadSIRSTMask'),
    dict(type='ToolboxCrop', size=256),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomRot90'),
    dict(type='PackSIRSTInputs'),
]
train_dataloader = dict(batch_size=16, drop_last=False, dataset=dict(pipeline=train_pipeline))
# The toolbox's lists and statistics. SIRST-AUG is not among its sets and keeps the catalogue's.
per_dataset = {
    'NUAA-SIRST': dict(
        split_set='basicirstd', model=dict(data_preprocessor=dict(mean=[101.0639], std=[34.6196]))
    ),
    'NUDT-SIRST': dict(
        split_set='basicirstd', model=dict(data_preprocessor=dict(mean=[107.8091], std=[33.0227]))
    ),
    'IRSTD-1K': dict(
        split_set='basicirstd', model=dict(data_preprocessor=dict(mean=[87.4662], std=[39.7195]))
    ),
}
_test_padding = dict(test_cfg=dict(size_divisor=32))
