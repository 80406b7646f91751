# A narrow MAD-Net on scenes made on the fly, what `make demo` runs: no data needed, minutes on two CPU cores.
_base_ = [
    './_base_/models/madnet_grey.py',
    './_base_/datasets/synthetic.py',
    './_base_/schedules/modern.py',
    './_base_/default_runtime.py',
]
train_cfg = dict(max_epochs=8)
