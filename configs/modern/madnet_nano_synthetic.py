# MAD-Net of width 4 on synthetic scenes, new ones in every epoch: weights to start from where data are few.
# tools/train.py configs/modern/madnet_nano_nuaa.py --load-from work_dirs/madnet_nano_synthetic/best.pth
_base_ = [
    '../_base_/models/madnet_nano.py',
    '../_base_/datasets/synthetic.py',
    '../_base_/schedules/modern.py',
    '../_base_/default_runtime.py',
]
# as in configs/madnet_synthetic.py: per image, the network would learn to say nothing of these crops
model = dict(
    decode_head=dict(loss_decode=dict(per_image=False), loss_weights=[1.0, 0.5, 0.25, 0.1, 0.1, 1.0])
)
train_dataloader = dict(num_workers=1, dataset=dict(fresh=True))
train_cfg = dict(max_epochs=12)
