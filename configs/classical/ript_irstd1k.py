# RIPT (Dai, Wu 2017) on IRSTD-1K.
_base_ = '../_base_/models/classical.py'
model = dict(method='ript')
test_dataloader = dict(dataset=dict(name='IRSTD-1K'))
