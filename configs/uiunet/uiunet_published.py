# UIU-Net by the published recipe: Adam at a constant 1e-3, 500 epochs, batches of 3; every image divided by
# its maximum and resized to 320×320 whatever its aspect. Theirs also: the images in the order of their list
# in every epoch, and scores that stretch each map to 0–1 and cut it at 0.22.
_base_ = [
    '../_base_/models/uiunet.py',
    '../_base_/data/published.py',
    '../_base_/default_runtime.py',
]
# ImageNet's red channel on all three
model = dict(data_preprocessor=dict(mean=[123.675] * 3, std=[58.395] * 3))
train_pipeline = [
    dict(type='LoadSIRSTImage', channels=3),
    dict(type='LoadSIRSTMask'),
    dict(type='ScaleToMaximum'),
    dict(type='PublishedTestResize', size=320),
    dict(type='PublishedRandomCrop', size=288),
    dict(type='RandomFlip', prob=0.5, direction='vertical'),
    dict(type='PackSIRSTInputs'),
]
test_pipeline = [
    dict(type='LoadSIRSTImage', channels=3),
    dict(type='ScaleToMaximum'),
    dict(type='PublishedTestResize', size=320),
    dict(type='LoadSIRSTMask'),
    dict(type='PackSIRSTInputs'),
]
train_dataloader = dict(batch_size=3, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-3))
param_scheduler = []
train_cfg = dict(type='ResumableTrainLoop', max_epochs=500, val_interval=1)
