# ACM (FPN) on SIRST-AUG, the common recipe.
_base_ = './acm_sirstaug.py'
model = dict(backbone=dict(blocks=4), neck=dict(_delete_=True, type='ACMFPNNeck'))
