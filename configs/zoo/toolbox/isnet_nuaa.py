# ISNet on NUAA-SIRST by the recipe of the BasicIRSTD toolbox, with which the field's tables have it.
_base_ = [
    '../../_base_/models/isnet.py',
    '../../_base_/datasets/toolbox_nuaa.py',
    '../../_base_/schedules/toolbox.py',
    '../../_base_/default_runtime.py',
]
model = dict(
    data_preprocessor=dict(**_base_.grey_stats, **_base_.test_padding), decode_head=dict(soft_targets=True)
)
selection = 'last'  # the toolbox's: the last epoch is scored, none is chosen
