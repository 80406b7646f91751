# NRAM (Zhang et al. 2018) on NUDT-SIRST.
_base_ = '../_base_/models/classical.py'
model = dict(method='nram')
test_dataloader = dict(dataset=dict(name='NUDT-SIRST'))
