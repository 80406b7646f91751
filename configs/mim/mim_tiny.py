# MiM-ISTD at half the published widths for one grey channel, with deep supervision. The published head would
# narrow to four channels here and training stall; sixteen let it start. Coarse maps, whose pixels are larger
# than most targets, weigh less.
_base_ = [
    '../_base_/models/mim.py',
    '../_base_/data/common.py',
    '../_base_/recipes/common.py',
    '../_base_/default_runtime.py',
]
model = dict(
    backbone=dict(in_channels=1, base_channels=16, word_channels=2),
    decode_head=dict(
        channels=16,
        deep_supervision=True,
        loss_weights=[0.5, 0.25, 0.1, 1.0],
        loss_decode=_base_._common_loss,
    ),
)
