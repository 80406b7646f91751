# WSLCM (Han et al. 2021) on IRSTD-1K.
_base_ = '../_base_/models/classical.py'
model = dict(method='wslcm')
test_dataloader = dict(dataset=dict(name='IRSTD-1K'))
