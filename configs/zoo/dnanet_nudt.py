# DNANet on NUDT-SIRST by the published recipe, on the paper's own split: Adagrad at 0.05, 1500 epochs.
_base_ = [
    '../_base_/models/dnanet.py',
    '../_base_/datasets/published_256.py',
    '../_base_/schedules/adagrad.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(dataset=dict(name='NUDT-SIRST'))
val_dataloader = dict(dataset=dict(name='NUDT-SIRST'))
test_dataloader = dict(dataset=dict(name='NUDT-SIRST'))
selection = 'last'  # what the published code comes to: its "best" checkpoint is overwritten at every epoch
