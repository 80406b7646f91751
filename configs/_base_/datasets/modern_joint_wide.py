# The same images in crops of 192: what lies far around a target, where false alarms come from, is seen too.
_base_ = './modern_joint.py'
train_pipeline = [
    dict(type='RandomTargetCrop', size=192, target_prob=0.5) if step['type'] == 'RandomTargetCrop' else step
    for step in _base_.train_pipeline
]
train_dataloader = dict(
    batch_size=8,
    dataset=dict(
        datasets=[
            dict(type='SIRSTDataset', name=name, exclude_near_test=True, cache=True, pipeline=train_pipeline)
            for name in ('NUAA-SIRST', 'NUDT-SIRST', 'IRSTD-1K')
        ]
    ),
)
