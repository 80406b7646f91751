# ACM in its FPN host, as its authors released it, on NUAA-SIRST by their recipe.
_base_ = './acm_nuaa.py'
model = dict(neck=dict(_delete_=True, type='ACMFPNNeck'))
