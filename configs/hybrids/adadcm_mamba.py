# Hybrid: the nano MAD-Net whose deepest stage is two Mamba blocks over the whole map.
_base_ = '../madnet/madnet_nano.py'
model = dict(neck=dict(_delete_=True, type='MambaNeck', depth=2))
