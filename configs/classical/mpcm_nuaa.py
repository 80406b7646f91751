# MPCM, bright targets only (Wei et al. 2016) on NUAA-SIRST.
_base_ = '../_base_/models/classical.py'
model = dict(method='mpcm')
test_dataloader = dict(dataset=dict(name='NUAA-SIRST'))
