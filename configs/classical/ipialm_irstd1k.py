# IPI by an inexact augmented Lagrangian method on IRSTD-1K.
_base_ = '../_base_/models/classical.py'
model = dict(method='ipialm')
test_dataloader = dict(dataset=dict(name='IRSTD-1K'))
