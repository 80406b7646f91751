# Laplacian of a Gaussian, four scales (Kim, Lee 2012) on IRSTD-1K.
_base_ = '../_base_/models/classical.py'
model = dict(method='log')
test_dataloader = dict(dataset=dict(name='IRSTD-1K'))
