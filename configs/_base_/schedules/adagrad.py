# Adagrad at a constant 0.05 for 1500 epochs, as DNANet was trained: its script builds a cosine and steps it
# once only. Other networks differ in rate, decay and epochs.
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adagrad', lr=0.05))
param_scheduler = []
train_cfg = dict(type='ResumableTrainLoop', max_epochs=1500, val_interval=1)
