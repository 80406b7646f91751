# Max-mean, lines of 15 pixels (Deshpande et al. 1999) on IRSTD-1K.
_base_ = '../_base_/models/classical.py'
model = dict(method='maxmean')
test_dataloader = dict(dataset=dict(name='IRSTD-1K'))
