# RLCM (Han et al. 2018) on SIRST-AUG.
_base_ = '../_base_/models/classical.py'
model = dict(method='rlcm')
test_dataloader = dict(dataset=dict(name='SIRST-AUG'))
