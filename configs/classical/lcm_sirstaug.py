# LCM (Chen et al. 2014) on SIRST-AUG.
_base_ = '../_base_/models/classical.py'
model = dict(method='lcm')
test_dataloader = dict(dataset=dict(name='SIRST-AUG'))
