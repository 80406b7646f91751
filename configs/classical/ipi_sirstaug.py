# IPI, the authors' solver (Gao et al. 2013) on SIRST-AUG.
_base_ = '../_base_/models/classical.py'
model = dict(method='ipi')
test_dataloader = dict(dataset=dict(name='SIRST-AUG'))
