# ABC-L on NUDT-SIRST by the published recipe, in batches of 16.
_base_ = './abc_nudt.py'
model = dict(backbone=dict(base_channels=64))
train_dataloader = dict(batch_size=16)
