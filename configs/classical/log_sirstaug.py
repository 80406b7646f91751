# Laplacian of a Gaussian, four scales (Kim, Lee 2012) on SIRST-AUG.
_base_ = '../_base_/models/classical.py'
model = dict(method='log')
test_dataloader = dict(dataset=dict(name='SIRST-AUG'))
