# ABC-L on IRSTD-1K by the published recipe, in batches of 4 of 512×512.
_base_ = './abc_irstd1k.py'
model = dict(backbone=dict(base_channels=64))
train_dataloader = dict(batch_size=4)
