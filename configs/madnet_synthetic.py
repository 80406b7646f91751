# A narrow MAD-Net on scenes made on the fly, what `make demo` runs: no data needed, minutes on two CPU cores.
_base_ = [
    './_base_/models/madnet.py',
    './_base_/data/synthetic.py',
    './_base_/recipes/common.py',
    './_base_/default_runtime.py',
]
# the coarse maps, which cannot show a target of three pixels, weigh less than the fine ones; targets are
# found after half of the run, which is when the cross entropy begins to revive black maps
model = dict(
    data_preprocessor=dict(mean=[105.0], std=[40.0]),
    backbone=dict(in_channels=1, base_channels=8),
    decode_head=dict(
        soft_targets=False,
        loss_decode=[_base_._common_loss[0], dict(type='MaskBCELoss', loss_weight=1.0, begin=0.5)],
        loss_weights=[1.0, 0.5, 0.25, 0.1, 0.1, 1.0],
    ),
)
train_cfg = dict(max_epochs=12, val_interval=4)
# 40 scenes cannot tell the noise of the flat rate from progress: an epoch of the decay is chosen
default_hooks = dict(checkpoint=dict(best_from=0.8))
