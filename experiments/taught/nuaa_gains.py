# On from a quarter of the shipped nano and three quarters of what nudt_twice.py came to, with crops of
# NUAA-SIRST no dimmer than 0.6 and the sets four, three and two times in an epoch:
#     madnet train experiments/taught/nuaa_gains.py --seed 42
_base_ = './nudt_twice.py'
load_from = 'work_dirs/nudt_twice_quarter.pth'
replace_steps = dict(_delete_=True)
_nuaa, _nudt, _irstd1k = [
    dict(
        each.get('dataset', each),
        pipeline=[
            dict(type='LoadSIRSTImage', channels=1),
            dict(type='LoadSIRSTMask'),
            *_base_.replace_steps.RandomTargetCrop,
            dict(type='RandomFlip', prob=[0.25, 0.25], direction=['horizontal', 'vertical']),
            dict(type='RandomRot90'),
            _base_.replace_steps.GainOffsetJitter[0],
            dict(_base_.replace_steps.GainOffsetJitter[1], gain=gain),
            dict(type='PackSIRSTInputs'),
        ],
    )
    for each, gain in zip(
        _base_.train_dataloader.dataset.datasets, ([0.6, 1.7], [0.45, 1.7], [0.45, 1.7]), strict=True
    )
]
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[
            dict(type='RepeatDataset', times=4, dataset=_nuaa),
            dict(type='RepeatDataset', times=3, dataset=_nudt),
            dict(type='RepeatDataset', times=2, dataset=_irstd1k),
        ],
    )
)
optim_wrapper = dict(optimizer=dict(lr=5e-4))
