# MAD-Net on IRSTD-1K by the published recipe.
_base_ = './madnet/madnet_published.py'
dataset = 'IRSTD-1K'
