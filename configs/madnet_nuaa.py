# MAD-Net on NUAA-SIRST by the published recipe.
_base_ = './madnet/madnet_published.py'
dataset = 'NUAA-SIRST'
