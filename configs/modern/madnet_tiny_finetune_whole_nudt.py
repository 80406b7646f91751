# MAD-Net of width 8 on NUDT-SIRST once more, after small crops: on whole images, which are 256×256 there.
_base_ = './madnet_tiny_finetune_batch_nudt.py'
load_from = 'work_dirs/tuned_tiny/madnet_tiny/nudt/seed42/last.pth'
train_pipeline = _base_.train_pipeline
train_pipeline[2].update(size=256)
train_dataloader = dict(batch_size=8, dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(optimizer=dict(lr=2e-3))
param_scheduler = _base_.flat_then_decay
train_cfg = dict(max_epochs=22)
