# ALCNet on IRSTD-1K by its authors' recipe: Adagrad at a constant 0.1, 300 epochs, batches of 2.
_base_ = [
    '../_base_/models/alcnet.py',
    '../_base_/datasets/published_480.py',
    '../_base_/schedules/acm.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(batch_size=2, dataset=dict(name='IRSTD-1K'))
val_dataloader = dict(dataset=dict(name='IRSTD-1K'))
test_dataloader = dict(dataset=dict(name='IRSTD-1K'))
optim_wrapper = dict(optimizer=dict(lr=0.1))
