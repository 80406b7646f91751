# The nano that ships goes on, taught by the tiny that ships, with the images of NUAA-SIRST twice in an epoch:
#     madnet train experiments/taught/nuaa_twice.py --seed 42
_base_ = '../../configs/madnet/madnet_nano_joint_second.py'
load_from = 'madnet_nano'
_sets = [
    dict(
        type='SIRSTDataset',
        name=name,
        split='trainval',
        exclude_near_test=True,
        cache=True,
        pipeline=_base_.train_dataloader.dataset.pipeline,
    )
    for name in ('NUAA-SIRST', 'NUDT-SIRST', 'IRSTD-1K')
]
_crop = dict(type='RandomTargetCrop', size=256, target_prob=0.5)
replace_steps = dict(
    RandomTargetCrop=[
        dict(
            type='RandomChoice',
            prob=[0.85, 0.15],
            transforms=[[_crop], [dict(_crop, zoom=[0.7, 1.5])]],
        )
    ],
    GainOffsetJitter=[
        dict(type='SensorDefects', prob=0.3, pixels=[0, 40], lines=[0, 1], specks=[0, 4]),
        dict(type='GainOffsetJitter', gain=[0.45, 1.7], offset=20.0, gamma=[0.85, 1.2], pivot='mean'),
    ],
)
model = dict(data_preprocessor=dict(mean=[99.423], std=[57.959]))
train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[dict(type='RepeatDataset', times=2, dataset=_sets[0]), *_sets[1:]],
    ),
)
optim_wrapper = dict(optimizer=dict(lr=8e-4))
param_scheduler = [
    dict(
        type='WarmupFlatDecayLR',
        warmup_steps=100,
        decay_share=0.8,
        eta_min_ratio=0.01,
        by_epoch=True,
        convert_to_iter_based=True,
    )
]
custom_hooks = [
    dict(type='EMAHook', ema_type='RampedEMA', decay=0.998),
    dict(type='TeacherHook', teacher='madnet_tiny', share=0.3),
]
train_cfg = dict(minutes=80)
