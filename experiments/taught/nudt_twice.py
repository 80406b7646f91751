# As nuaa_twice.py, with NUDT-SIRST twice as well, fewer crops with defects and less of the teacher:
#     madnet train experiments/taught/nudt_twice.py --seed 42
_base_ = './nuaa_twice.py'
_nuaa, _nudt, _irstd1k = _base_.train_dataloader.dataset.datasets
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[_nuaa, dict(type='RepeatDataset', times=2, dataset=_nudt), _irstd1k],
    )
)
_defects, _gain = _base_.replace_steps.GainOffsetJitter
replace_steps = dict(GainOffsetJitter=[dict(_defects, prob=0.2), _gain])
custom_hooks = [
    dict(type='EMAHook', ema_type='RampedEMA', decay=0.998),
    dict(type='TeacherHook', teacher='madnet_tiny', share=0.2),
]
