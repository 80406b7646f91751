# Laplacian of a Gaussian, four scales (Kim, Lee 2012) on NUAA-SIRST.
_base_ = '../_base_/models/classical.py'
model = dict(method='log')
test_dataloader = dict(dataset=dict(name='NUAA-SIRST'))
