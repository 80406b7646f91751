# ACM (FPN) on IRSTD-1K, the common recipe.
_base_ = './acm_irstd1k.py'
model = dict(backbone=dict(blocks=4), neck=dict(_delete_=True, type='ACMFPNNeck'))
