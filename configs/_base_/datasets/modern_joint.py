# The training parts of NUAA-SIRST, NUDT-SIRST and IRSTD-1K together (1,768 images), without those that nearly
# show a test image of theirs, in small crops and large batches: four times the targets for the same work.
# No part is left to choose on: take selection='last'. Tested on NUAA-SIRST;
# --cfg-options test_dataloader.dataset.name=NUDT-SIRST for another.
_base_ = './modern.py'
# of the training images together, each image with the same weight; grey, 0-255
grey_stats = dict(mean=[99.423], std=[57.959])
train_pipeline = [
    dict(type='RandomTargetCrop', size=128, target_prob=0.5) if step['type'] == 'RandomTargetCrop' else step
    for step in _base_.train_pipeline
]
train_dataloader = dict(
    batch_size=16,
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[
            dict(type='SIRSTDataset', name=name, exclude_near_test=True, cache=True, pipeline=train_pipeline)
            for name in ('NUAA-SIRST', 'NUDT-SIRST', 'IRSTD-1K')
        ],
    ),
)
test_dataloader = dict(dataset=dict(name='NUAA-SIRST'))
