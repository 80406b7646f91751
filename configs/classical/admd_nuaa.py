# ADMD (Moradi et al. 2020) on NUAA-SIRST.
_base_ = '../_base_/models/classical.py'
model = dict(method='admd')
test_dataloader = dict(dataset=dict(name='NUAA-SIRST'))
