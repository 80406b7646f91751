# Hybrid: MiM-ISTD's encoder, one deeper map (stride 64) from MAD-Net's memory module, MiM-ISTD's head on all
# five maps.
_base_ = './mim_nuaa.py'
model = dict(neck=dict(type='MemA2MNeck'))
