# RDIAN by its authors' recipe: Adagrad at 0.005 with a polynomial decay, 300 epochs, batches of 8.
_base_ = [
    '../_base_/models/rdian.py',
    '../_base_/datasets/published_480.py',
    '../_base_/schedules/acm.py',
    '../_base_/default_runtime.py',
]
# their mean -0.1246 and deviation 1.0923 of grey levels over 255
model = dict(
    data_preprocessor=dict(mean=[-0.1246 * 255], std=[1.0923 * 255]),
    decode_head=dict(loss_decode=dict(per_image=True)),
)
grey = dict(type='LoadSIRSTImage', channels=1)
train_dataset = dict(name='NUAA-SIRST', pipeline=[grey, *_base_.train_pipeline[1:]])
test_dataset = dict(name='NUAA-SIRST', pipeline=[grey, *_base_.test_pipeline[1:]])
train_dataloader = dict(dataset=train_dataset)
val_dataloader = dict(dataset=test_dataset)
test_dataloader = dict(dataset=test_dataset)
optim_wrapper = dict(optimizer=dict(lr=0.005))
# (1 - e / 301) ** 0.9 in epoch e; mmengine divides by end - 1
param_scheduler = [dict(type='PolyLR', power=0.9, eta_min=1e-6, end=302, by_epoch=True)]
