# IPI by an inexact augmented Lagrangian method on NUDT-SIRST.
_base_ = '../_base_/models/classical.py'
model = dict(method='ipialm')
test_dataloader = dict(dataset=dict(name='NUDT-SIRST'))
