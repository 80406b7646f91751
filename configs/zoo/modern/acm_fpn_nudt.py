# ACM (FPN) on NUDT-SIRST, the common recipe.
_base_ = './acm_nudt.py'
model = dict(backbone=dict(blocks=4), neck=dict(_delete_=True, type='ACMFPNNeck'))
