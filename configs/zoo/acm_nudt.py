# ACM, as its authors released it, on NUDT-SIRST by their recipe: Adagrad, 300 epochs, batches of 8.
_base_ = [
    '../_base_/models/acm_authors.py',
    '../_base_/datasets/published_480.py',
    '../_base_/schedules/acm.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(dataset=dict(name='NUDT-SIRST'))
val_dataloader = dict(dataset=dict(name='NUDT-SIRST'))
test_dataloader = dict(dataset=dict(name='NUDT-SIRST'))
