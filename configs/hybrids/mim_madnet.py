# Hybrid: the tiny MiM-ISTD's encoder under MAD-Net's head, the finest map at stride 4.
_base_ = '../mim/mim_tiny.py'
model = dict(decode_head=dict(_delete_=True, type='MADNetHead', loss_decode=_base_._common_loss))
