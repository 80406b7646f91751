# White top-hat, 5 × 5 (Tom et al. 1993) on NUAA-SIRST.
_base_ = '../_base_/models/classical.py'
model = dict(method='tophat')
test_dataloader = dict(dataset=dict(name='NUAA-SIRST'))
