# The published pipelines: three channels, random scale, crop and blur; tested at one square size, which is
# the data set's base size.
train_pipeline = [
    dict(type='LoadSIRSTImage', channels=3),
    dict(type='LoadSIRSTMask'),
    dict(type='PublishedFlip', prob=0.5),
    dict(type='PublishedRandomScale', ratio_range=(0.5, 2.0)),
    dict(type='PublishedRandomCrop'),
    dict(type='PublishedBlur', prob=0.5, max_radius=1.0),
    dict(type='PackSIRSTInputs'),
]
test_pipeline = [
    dict(type='LoadSIRSTImage', channels=3),
    dict(type='PublishedTestResize'),
    dict(type='LoadSIRSTMask'),  # after the resizing: truth stays at its own size, protocols resize it
    dict(type='PackSIRSTInputs'),
]

train_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='ResumableSampler', shuffle=True),
    dataset=dict(type='SIRSTDataset', pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(type='SIRSTDataset', pipeline=test_pipeline),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(type='SIRSTDataset', split='test', pipeline=test_pipeline),
)
val_evaluator = dict(type='IRSTDMetric', protocols=('native',), curves=False, extended=False)
test_evaluator = dict(type='IRSTDMetric', protocols=('native',))
# ImageNet's statistics; images are loaded as BGR.
_imagenet = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True)
