# ISNet as its authors released it, by their recipe: Adagrad under a cosine that falls and rises every 60
# epochs, 3000 epochs, batches of 12, no blur. (Theirs also: losses without smoothing, 0/0 on empty images.)
_base_ = [
    '../_base_/models/isnet_authors.py',
    '../_base_/datasets/published_480.py',
    '../_base_/schedules/acm.py',
    '../_base_/default_runtime.py',
]
model = dict(decode_head=dict(loss_decode=dict(per_image=True), loss_edge=dict(per_image=True)))
train_pipeline = [step for step in _base_.train_pipeline if step.type != 'PublishedBlur']
train_dataloader = dict(batch_size=12, dataset=dict(name='NUAA-SIRST', pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(name='NUAA-SIRST'))
test_dataloader = dict(dataset=dict(name='NUAA-SIRST'))
param_scheduler = [dict(type='CosineAnnealingLR', T_max=30, by_epoch=True)]
train_cfg = dict(max_epochs=3000)
