# New top-hat, ring 13/9, body 13 (Bai et al. 2008) on IRSTD-1K.
_base_ = '../_base_/models/classical.py'
model = dict(method='newtophat')
test_dataloader = dict(dataset=dict(name='IRSTD-1K'))
