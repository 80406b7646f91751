# IPI by an inexact augmented Lagrangian method on NUAA-SIRST.
_base_ = '../_base_/models/classical.py'
model = dict(method='ipialm')
test_dataloader = dict(dataset=dict(name='NUAA-SIRST'))
