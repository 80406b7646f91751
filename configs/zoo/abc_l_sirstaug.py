# ABC-L on SIRST-AUG by the published recipe, in batches of 16.
_base_ = './abc_sirstaug.py'
model = dict(backbone=dict(base_channels=64))
train_dataloader = dict(batch_size=16)
