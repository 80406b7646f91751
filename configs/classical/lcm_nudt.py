# LCM (Chen et al. 2014) on NUDT-SIRST.
_base_ = '../_base_/models/classical.py'
model = dict(method='lcm')
test_dataloader = dict(dataset=dict(name='NUDT-SIRST'))
