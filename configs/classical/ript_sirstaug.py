# RIPT (Dai, Wu 2017) on SIRST-AUG.
_base_ = '../_base_/models/classical.py'
model = dict(method='ript')
test_dataloader = dict(dataset=dict(name='SIRST-AUG'))
