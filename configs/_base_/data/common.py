# Images at their own scale, in one grey channel: crops of which half are placed around a target, flips,
# quarter turns, gain and offset; tested on whole images.
_base_ = './published.py'
train_pipeline = [
    dict(type='LoadSIRSTImage', channels=1),
    dict(type='LoadSIRSTMask'),
    dict(type='RandomTargetCrop', size=256, target_prob=0.5),
    dict(type='RandomFlip', prob=[0.25, 0.25], direction=['horizontal', 'vertical']),
    dict(type='RandomRot90'),
    dict(type='GainOffsetJitter', gain=0.2, offset=15.0),
    dict(type='PackSIRSTInputs'),
]
test_pipeline = [
    dict(type='LoadSIRSTImage', channels=1),
    dict(type='LoadSIRSTMask'),
    dict(type='PackSIRSTInputs'),
]
# Decoded images stay in memory, which the loader's workers share: 63 MiB for the 341 of NUAA-SIRST,
# 83 for the 663 of NUDT-SIRST, 400 for the 800 of IRSTD-1K, 1.0 GiB for the 8525 of SIRST-AUG.
train_dataloader = dict(dataset=dict(pipeline=train_pipeline, cache=True))
val_dataloader = dict(batch_size=1, dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
