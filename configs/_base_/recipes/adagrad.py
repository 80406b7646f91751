# Adagrad at a constant 0.05, as several of the networks were trained; they differ in rate, decay and epochs.
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adagrad', lr=0.05))
param_scheduler = []
train_cfg = dict(type='ResumableTrainLoop', max_epochs=1500, val_interval=1)
