# TLLCM (Han et al. 2020) on NUDT-SIRST.
_base_ = '../_base_/models/classical.py'
model = dict(method='tllcm')
test_dataloader = dict(dataset=dict(name='NUDT-SIRST'))
