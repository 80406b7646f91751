# ACM in its FPN host, as its authors released it, on IRSTD-1K by their recipe.
_base_ = './acm_irstd1k.py'
model = dict(neck=dict(_delete_=True, type='ACMFPNNeck'))
