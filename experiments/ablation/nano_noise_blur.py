# Random blur and noise after gain and offset.
_base_ = './nano.py'
replace_steps = dict(
    GainOffsetJitter=[
        dict(type='GainOffsetJitter', gain=0.2, offset=15.0),
        dict(type='RandomBlur'),
        dict(type='RandomNoise'),
    ]
)
