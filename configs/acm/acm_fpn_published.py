# ACM in its FPN host as its authors released it, by their recipe.
_base_ = './acm_published.py'
model = dict(neck=dict(_delete_=True, type='ACMFPNNeck'))
