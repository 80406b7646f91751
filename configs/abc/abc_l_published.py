# ABC-L by the published recipe, in batches of 16 of 256×256 or 4 of 512×512.
_base_ = './abc_published.py'
model = dict(backbone=dict(base_channels=64))
train_dataloader = dict(batch_size=16)
per_dataset = {
    'NUAA-SIRST': dict(train_dataloader=dict(batch_size=4)),
    'IRSTD-1K': dict(train_dataloader=dict(batch_size=4)),
}
