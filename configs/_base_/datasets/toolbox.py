# The pipelines of the BasicIRSTD toolbox, for any data set of the catalogue: one grey channel, crops of 256
# at the image's own scale of which half are placed around a target, mirrored and turned into each of their
# eight orientations alike; tested on whole images, padded to multiples of 32 after normalisation and cropped
# back. A data set's file puts the crop between `load` and `turn`, for it pads with the set's mean.
# The toolbox's: all of that, and batches of 16, of which a smaller last one is used too.
_base_ = './modern.py'
load = [dict(type='LoadSIRSTImage', channels=1), dict(type='LoadSIRSTMask')]
turn = [
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomRot90'),
    dict(type='PackSIRSTInputs'),
]
# Further arguments of the preprocessor: dict(**_base_.grey_stats, **_base_.test_padding).
test_padding = dict(test_cfg=dict(size_divisor=32))
train_dataloader = dict(batch_size=16, drop_last=False)
