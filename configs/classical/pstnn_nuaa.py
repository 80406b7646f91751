# PSTNN (Zhang, Peng 2019) on NUAA-SIRST.
_base_ = '../_base_/models/classical.py'
model = dict(method='pstnn')
test_dataloader = dict(dataset=dict(name='NUAA-SIRST'))
