# UIU-Net's pipelines: every image divided by its maximum and resized to 320×320 whatever its aspect, crops of
# 288, turned upside down half the time; tested at 320×320.
# Theirs: all of that, batches of 3, the images in the order of their list in every epoch, and scores that
# stretch each map to 0–1 and cut it at 0.22. Chosen here: shuffled images, and the common protocols.
_base_ = './published.py'
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
