# MPCM, bright targets only (Wei et al. 2016) on NUDT-SIRST.
_base_ = '../_base_/models/classical.py'
model = dict(method='mpcm')
test_dataloader = dict(dataset=dict(name='NUDT-SIRST'))
