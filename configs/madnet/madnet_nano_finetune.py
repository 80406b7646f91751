# The shipped madnet_nano trained further on one data set, without the training images that nearly show a test
# image. The last epoch counts, for the weights have seen all training images of their three sets.
_base_ = './madnet_nano.py'
selection = 'last'
load_from = 'madnet://madnet_nano'
model = dict(
    # the scale on which the weights were trained
    data_preprocessor=dict(mean=[99.423], std=[57.959]),
    decode_head=dict(
        loss_decode=[
            dict(type='SoftIoULoss', smooth=1.0, per_image=False),
            dict(type='MaskBCELoss', loss_weight=1.0),
        ]
    ),
)
train_dataloader = dict(dataset=dict(exclude_near_test=True))
optim_wrapper = dict(optimizer=dict(lr=1e-3))
train_cfg = dict(max_epochs=15)
per_dataset = {
    'NUDT-SIRST': dict(
        replace_steps=dict(RandomTargetCrop=dict(size=128)),
        train_dataloader=dict(batch_size=16),
        optim_wrapper=dict(optimizer=dict(lr=3e-3)),
        train_cfg=dict(max_epochs=24),
    ),
    'IRSTD-1K': dict(
        replace_steps=dict(RandomTargetCrop=dict(size=192)),
        optim_wrapper=dict(optimizer=dict(lr=2e-3)),
        train_cfg=dict(max_epochs=12),
    ),
}
