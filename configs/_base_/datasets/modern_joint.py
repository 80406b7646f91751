# The training parts of NUAA-SIRST, NUDT-SIRST and IRSTD-1K together (1,768 images), without those that nearly
# show a test image of theirs. The last epoch counts: no part is left to choose on. Tested on NUAA-SIRST;
# --cfg-options test_dataloader.dataset.name=NUDT-SIRST for another.
_base_ = './modern.py'
# Of the 1,768 training images together, each image with the same weight; grey, 0-255.
grey_stats = dict(mean=[99.423], std=[57.959])
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[
            dict(
                type='SIRSTDataset',
                name=name,
                exclude_near_test=True,
                cache=True,
                pipeline=_base_.train_pipeline,
            )
            for name in ('NUAA-SIRST', 'NUDT-SIRST', 'IRSTD-1K')
        ],
    )
)
test_dataloader = dict(dataset=dict(name='NUAA-SIRST'))
