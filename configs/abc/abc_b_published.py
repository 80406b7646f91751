# ABC-B by the published recipe, in batches of 16.
_base_ = './abc_published.py'
model = dict(backbone=dict(base_channels=32))
train_dataloader = dict(batch_size=16)
