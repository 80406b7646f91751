# MAD-Net of width 4 on IRSTD-1K alone, from the weights that three sets together gave; without the
# training images that nearly show a test image.
_base_ = './madnet_nano_finetune_nuaa.py'
train_pipeline = _base_.train_pipeline
train_pipeline[2].update(size=192)
train_dataloader = dict(dataset=dict(name='IRSTD-1K', exclude_near_test=True, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(name='IRSTD-1K'))
test_dataloader = dict(dataset=dict(name='IRSTD-1K'))
optim_wrapper = dict(optimizer=dict(lr=2e-3))
train_cfg = dict(max_epochs=12)
