# ABC-B on NUDT-SIRST by the published recipe, in batches of 16.
_base_ = './abc_nudt.py'
model = dict(backbone=dict(base_channels=32))
train_dataloader = dict(batch_size=16)
