# AADCDD (Aghaziyarati et al. 2019) on SIRST-AUG.
_base_ = '../_base_/models/classical.py'
model = dict(method='aadcdd')
test_dataloader = dict(dataset=dict(name='SIRST-AUG'))
