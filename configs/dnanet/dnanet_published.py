# DNANet by the published recipe: Adagrad at 0.05, 1500 epochs of 256×256 crops; NUAA-SIRST in the paper's own
# split. The last epoch counts, for the published "best" checkpoint is overwritten at every epoch.
_base_ = [
    '../_base_/models/dnanet.py',
    '../_base_/data/published.py',
    '../_base_/recipes/adagrad.py',
    '../_base_/default_runtime.py',
]
model = dict(data_preprocessor=_base_._imagenet)
base_size = 256
train_dataloader = dict(batch_size=16)
selection = 'last'
per_dataset = {'NUAA-SIRST': dict(split_set='basicirstd')}
