# DNANet on SIRST-AUG by the published recipe: Adagrad at 0.05, 1500 epochs.
_base_ = [
    '../_base_/models/dnanet.py',
    '../_base_/datasets/published_256.py',
    '../_base_/schedules/adagrad.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(dataset=dict(name='SIRST-AUG'))
val_dataloader = dict(dataset=dict(name='SIRST-AUG'))
test_dataloader = dict(dataset=dict(name='SIRST-AUG'))
selection = 'last'  # what the published code comes to: its "best" checkpoint is overwritten at every epoch
