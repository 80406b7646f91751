# The schedule of UIU-Net: Adam at a constant 1e-3, 500 epochs.
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-3))
param_scheduler = []
train_cfg = dict(type='ResumableTrainLoop', max_epochs=500, val_interval=1)
