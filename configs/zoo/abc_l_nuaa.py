# ABC-L on NUAA-SIRST by the published recipe, in batches of 4 of 512×512.
_base_ = './abc_nuaa.py'
model = dict(backbone=dict(base_channels=64))
train_dataloader = dict(batch_size=4)
