# IPI, the authors' solver (Gao et al. 2013) on NUAA-SIRST.
_base_ = '../_base_/models/classical.py'
model = dict(method='ipi')
test_dataloader = dict(dataset=dict(name='NUAA-SIRST'))
