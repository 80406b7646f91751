# RepISD-Net's schedule: Adagrad at a constant 0.05 (its cosine is stepped once only), decay 1e-4, 600 epochs,
# the default of its script (its README says 500, its log has 1500).
_base_ = './adagrad.py'
optim_wrapper = dict(optimizer=dict(lr=0.05, weight_decay=1e-4))
train_cfg = dict(max_epochs=600)
