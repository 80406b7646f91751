# AADCDD (Aghaziyarati et al. 2019) on IRSTD-1K.
_base_ = '../_base_/models/classical.py'
model = dict(method='aadcdd')
test_dataloader = dict(dataset=dict(name='IRSTD-1K'))
