# MAD-Net on NUDT-SIRST by the published recipe.
_base_ = './madnet/madnet_published.py'
dataset = 'NUDT-SIRST'
