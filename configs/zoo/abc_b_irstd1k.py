# ABC-B on IRSTD-1K by the published recipe, in batches of 16.
_base_ = './abc_irstd1k.py'
model = dict(backbone=dict(base_channels=32))
train_dataloader = dict(batch_size=16)
