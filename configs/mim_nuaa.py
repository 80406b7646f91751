# MiM-ISTD on NUAA-SIRST: what is known of the published recipe, and what is chosen here.
_base_ = './mim/mim_published.py'
dataset = 'NUAA-SIRST'
