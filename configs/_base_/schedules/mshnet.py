# MSHNet's schedule: Adagrad at a constant 0.05 for 400 epochs.
_base_ = './adagrad.py'
train_cfg = dict(max_epochs=400)
