# Neither flips nor quarter turns, beside the overlap over the batch.
_base_ = './nano_batch_overlap_nuaa.py'
train_pipeline = [*_base_.train_pipeline[:3], *_base_.train_pipeline[5:]]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
