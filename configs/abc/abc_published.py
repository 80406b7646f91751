# ABC-S by the published recipe, in batches of 32 of the data set's base size, which is its side.
_base_ = [
    '../_base_/models/abc.py',
    '../_base_/data/published.py',
    '../_base_/recipes/published.py',
    '../_base_/default_runtime.py',
]
model = dict(data_preprocessor=_base_._imagenet)
train_dataloader = dict(batch_size=32)
per_dataset = {
    'NUAA-SIRST': dict(model=dict(backbone=dict(side=512))),
    'IRSTD-1K': dict(model=dict(backbone=dict(side=512))),
}
