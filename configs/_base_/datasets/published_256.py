# The published pipelines with base and crop of 256×256 for every data set, in batches of 16.
_base_ = './published.py'
train_dataloader = dict(batch_size=16, dataset=dict(base_size=256))
val_dataloader = dict(dataset=dict(base_size=256))
test_dataloader = dict(dataset=dict(base_size=256))
