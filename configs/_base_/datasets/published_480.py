# The published pipelines at the sizes of ACM and ALCNet: the long side from 256 to 1024 pixels, crops of 480.
# Theirs: that, for NUAA-SIRST. Chosen here: the same for every set, and tests at 512×512.
_base_ = './published.py'
train_pipeline = [
    dict(type='LoadSIRSTImage', channels=3),
    dict(type='LoadSIRSTMask'),
    dict(type='PublishedFlip', prob=0.5),
    dict(type='PublishedRandomScale', ratio_range=(0.5, 2.0)),
    dict(type='PublishedRandomCrop', size=480),
    dict(type='PublishedBlur', prob=0.5, max_radius=1.0),
    dict(type='PackSIRSTInputs'),
]
train_dataloader = dict(batch_size=8, dataset=dict(base_size=512, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(base_size=512))
test_dataloader = dict(dataset=dict(base_size=512))
