# MAD-Net of width 4 on NUDT-SIRST alone, from the weights that three sets together gave; without the
# training images that nearly show a test image.
_base_ = './madnet_nano_finetune_nuaa.py'
train_pipeline = _base_.train_pipeline
train_pipeline[2].update(size=128)
train_dataloader = dict(
    batch_size=16, dataset=dict(name='NUDT-SIRST', exclude_near_test=True, pipeline=train_pipeline)
)
val_dataloader = dict(dataset=dict(name='NUDT-SIRST'))
test_dataloader = dict(dataset=dict(name='NUDT-SIRST'))
optim_wrapper = dict(optimizer=dict(lr=3e-3))
train_cfg = dict(max_epochs=24)
