# Random blur and noise after gain and offset, beside the overlap over the batch.
_base_ = './nano_batch_overlap_nuaa.py'
train_pipeline = [
    *_base_.train_pipeline[:6],
    dict(type='RandomBlur'),
    dict(type='RandomNoise'),
    _base_.train_pipeline[6],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
