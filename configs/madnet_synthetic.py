# A narrow MAD-Net on scenes made on the fly, what `make demo` runs: no data needed, minutes on two CPU cores.
_base_ = [
    './_base_/models/madnet_nano.py',
    './_base_/datasets/synthetic.py',
    './_base_/schedules/modern.py',
    './_base_/default_runtime.py',
]
# twice as wide as madnet_nano, and the loss over the batch: per image, one false pixel in an empty crop
# costs as much as half a target, and the network learns to say nothing; the coarse maps, which cannot show a
# target of three pixels, weigh less than the fine ones
model = dict(
    backbone=dict(base_channels=8),
    decode_head=dict(
        loss_decode=dict(per_image=False),
        loss_weights=[1.0, 0.5, 0.25, 0.1, 0.1, 1.0],
    ),
)
train_cfg = dict(max_epochs=12)
