# MiM-ISTD at half the published widths on three data sets together, from what NUAA-SIRST alone gave: from
# nothing, on crops as small as these, it falls to black. Its start: madnet train configs/mim/mim_tiny.py
# --dataset nuaa
_base_ = './mim_tiny.py'
dataset = ['NUAA-SIRST', 'NUDT-SIRST', 'IRSTD-1K']
selection = 'last'
load_from = 'work_dirs/mim_tiny_nuaa/best.pth'
replace_steps = dict(RandomTargetCrop=dict(size=128))
model = dict(
    decode_head=dict(
        loss_decode=[
            dict(type='SoftIoULoss', smooth=1.0, per_image=False),
            dict(type='MaskBCELoss', loss_weight=1.0),
        ]
    )
)
train_dataloader = dict(batch_size=16, dataset=dict(exclude_near_test=True))
train_cfg = dict(max_epochs=20)
