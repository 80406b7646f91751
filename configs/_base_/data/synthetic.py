# Synthetic scenes, new ones in every epoch: nothing to download. Four of five crops are placed around a
# target since crops are small here: where most are empty the prediction falls to all black and stays there.
# Scenes to train on are little larger than the crops, so that a crop shows most of a scene's targets.
train_pipeline = [
    dict(type='RandomTargetCrop', size=128, target_prob=0.8),
    dict(type='RandomFlip', prob=[0.25, 0.25], direction=['horizontal', 'vertical']),
    dict(type='RandomRot90'),
    dict(type='GainOffsetJitter', gain=0.2, offset=15.0),
    dict(type='PackSIRSTInputs'),
]
test_pipeline = [dict(type='PackSIRSTInputs')]

train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    drop_last=True,
    sampler=dict(type='ResumableSampler', shuffle=True),
    dataset=dict(
        type='SyntheticSIRSTDataset', split='train', length=800, size=160, fresh=True, pipeline=train_pipeline
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(type='SyntheticSIRSTDataset', split='val', length=40, pipeline=test_pipeline),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(type='SyntheticSIRSTDataset', split='test', length=100, pipeline=test_pipeline),
)
val_evaluator = dict(type='IRSTDMetric', protocols=('native',), curves=False, extended=False)
test_evaluator = dict(type='IRSTDMetric', protocols=('native',))
