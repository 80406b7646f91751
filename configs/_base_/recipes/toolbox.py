# The recipe of the BasicIRSTD toolbox: Adam at 5e-4, a tenth of it from epoch 200, a hundredth from 300, 400
# epochs, no decay of the weights; the last epoch is scored, none is chosen.
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=5e-4))
param_scheduler = [dict(type='MultiStepLR', milestones=[200, 300], gamma=0.1, by_epoch=True)]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=400, val_interval=1)
