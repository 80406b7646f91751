# MiM-ISTD on IRSTD-1K: what is known of the published recipe, and what is chosen here.
_base_ = './mim/mim_published.py'
dataset = 'IRSTD-1K'
