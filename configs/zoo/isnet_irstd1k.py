# ISNet on IRSTD-1K by the recipe that its authors used on NUAA-SIRST.
_base_ = './isnet_nuaa.py'
train_dataloader = dict(dataset=dict(name='IRSTD-1K'))
val_dataloader = dict(dataset=dict(name='IRSTD-1K'))
test_dataloader = dict(dataset=dict(name='IRSTD-1K'))
