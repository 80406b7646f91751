# MAD-Net by the published recipe: AdamW, SoftIoU on six maps, 1500 or 500 epochs.
_base_ = [
    '../_base_/models/madnet.py',
    '../_base_/data/published.py',
    '../_base_/recipes/published.py',
    '../_base_/default_runtime.py',
]
model = dict(data_preprocessor=_base_._imagenet)
