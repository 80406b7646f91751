# ACM (FPN) on NUAA-SIRST, the common recipe.
_base_ = './acm_nuaa.py'
model = dict(backbone=dict(blocks=4), neck=dict(_delete_=True, type='ACMFPNNeck'))
