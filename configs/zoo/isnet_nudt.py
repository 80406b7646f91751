# ISNet on NUDT-SIRST by the recipe that its authors used on NUAA-SIRST.
_base_ = './isnet_nuaa.py'
train_dataloader = dict(dataset=dict(name='NUDT-SIRST'))
val_dataloader = dict(dataset=dict(name='NUDT-SIRST'))
test_dataloader = dict(dataset=dict(name='NUDT-SIRST'))
