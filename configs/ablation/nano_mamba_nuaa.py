# The hybrid: two Mamba blocks over the whole map at the deepest stage, instead of the memory module.
_base_ = './nano_nuaa.py'
model = dict(neck=dict(_delete_=True, type='MambaNeck', depth=2))
