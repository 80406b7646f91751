# ACM in its FPN host, as its authors released it, on SIRST-AUG by their recipe.
_base_ = './acm_sirstaug.py'
model = dict(neck=dict(_delete_=True, type='ACMFPNNeck'))
