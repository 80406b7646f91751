# The second part of madnet_nano_joint.py, from its last.pth: larger crops, a smaller rate, and the cross
# entropy from the first step, for the network finds targets already.
_base_ = './madnet_nano_joint.py'
load_from = 'work_dirs/madnet_nano_joint/last.pth'
replace_steps = dict(RandomTargetCrop=dict(size=192))
model = dict(
    decode_head=dict(
        loss_decode=[
            dict(type='SoftIoULoss', smooth=1.0, per_image=False),
            dict(type='MaskBCELoss', loss_weight=1.0),
        ]
    )
)
train_dataloader = dict(batch_size=8)
optim_wrapper = dict(optimizer=dict(lr=1.5e-3))
train_cfg = dict(max_epochs=6)
