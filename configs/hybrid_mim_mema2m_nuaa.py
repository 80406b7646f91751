# Hybrid: MiM-ISTD's encoder, one deeper map from MAD-Net's memory module (stride 64), MiM-ISTD's head on five maps.
_base_ = './mim_nuaa.py'
model = dict(neck=dict(type='MemA2MNeck'))
