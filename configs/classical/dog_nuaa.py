# Difference of Gaussians, 1 and 2 pixels (Wang et al. 2012) on NUAA-SIRST.
_base_ = '../_base_/models/classical.py'
model = dict(method='dog')
test_dataloader = dict(dataset=dict(name='NUAA-SIRST'))
