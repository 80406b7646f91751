# NUDT-SIRST through the native-scale pipelines.
_base_ = './modern.py'
# of the training images, grey, 0-255
grey_stats = dict(mean=[108.024], std=[55.552])
train_dataloader = dict(dataset=dict(name='NUDT-SIRST'))
val_dataloader = dict(dataset=dict(name='NUDT-SIRST'))
test_dataloader = dict(dataset=dict(name='NUDT-SIRST'))
