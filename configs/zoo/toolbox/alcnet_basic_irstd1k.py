# The ALCNet of the field's tables on IRSTD-1K by the recipe of the BasicIRSTD toolbox.
_base_ = [
    '../../_base_/models/alcnet_basic.py',
    '../../_base_/datasets/toolbox_irstd1k.py',
    '../../_base_/schedules/toolbox.py',
    '../../_base_/default_runtime.py',
]
preprocessor = dict(_delete_=True, type='IRSTDPreProcessor', **_base_.grey_stats, **_base_.test_padding)
model = dict(
    data_preprocessor=preprocessor, backbone=dict(in_channels=1), decode_head=dict(soft_targets=True)
)
selection = 'last'  # the toolbox's: the last epoch is scored, none is chosen
