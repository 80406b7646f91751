# The schedule of ACM's authors: Adagrad at a constant 0.05, decay 1e-4, 300 epochs. Their script builds a
# decaying curve too, and hands it to other optimisers only.
_base_ = './adagrad.py'
optim_wrapper = dict(optimizer=dict(lr=0.05, weight_decay=1e-4))
train_cfg = dict(max_epochs=300)
