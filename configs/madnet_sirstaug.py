# MAD-Net on SIRST-AUG by the published recipe.
_base_ = './madnet/madnet_published.py'
dataset = 'SIRST-AUG'
