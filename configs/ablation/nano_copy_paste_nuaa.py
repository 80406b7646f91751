# Targets of an image pasted at other places of it.
_base_ = './nano_nuaa.py'
train_pipeline = [
    *_base_.train_pipeline[:2],
    dict(type='CopyPasteTargets'),
    *_base_.train_pipeline[2:],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
