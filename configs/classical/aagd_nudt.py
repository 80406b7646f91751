# AAGD, bright targets only (Moradi et al. 2018) on NUDT-SIRST.
_base_ = '../_base_/models/classical.py'
model = dict(method='aagd')
test_dataloader = dict(dataset=dict(name='NUDT-SIRST'))
