# ISNet on SIRST-AUG by the recipe that its authors used on NUAA-SIRST.
_base_ = './isnet_nuaa.py'
train_dataloader = dict(dataset=dict(name='SIRST-AUG'))
val_dataloader = dict(dataset=dict(name='SIRST-AUG'))
test_dataloader = dict(dataset=dict(name='SIRST-AUG'))
