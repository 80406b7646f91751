# ACM in its FPN host, as its authors released it, on NUDT-SIRST by their recipe.
_base_ = './acm_nudt.py'
model = dict(neck=dict(_delete_=True, type='ACMFPNNeck'))
