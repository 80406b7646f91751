# MiM-ISTD of half the published widths on the training parts of NUAA-SIRST, NUDT-SIRST and IRSTD-1K
# together: what ships. From what crops of 256 of NUAA-SIRST gave it, and with a cross entropy beside the
# overlap: from nothing, on small crops and with the overlap alone, it falls to all black.
_base_ = [
    '../_base_/models/mim_tiny.py',
    '../_base_/datasets/modern_joint.py',
    '../_base_/schedules/modern.py',
    '../_base_/default_runtime.py',
]
selection = 'last'
load_from = 'work_dirs/mim_tiny_nuaa/best.pth'
model = dict(
    data_preprocessor=_base_.grey_stats,
    decode_head=dict(loss_decode=_base_.overlap_and_cross_entropy),
)
train_cfg = dict(max_epochs=20)
