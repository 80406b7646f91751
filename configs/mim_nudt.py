# MiM-ISTD on NUDT-SIRST: what is known of the published recipe, and what is chosen here.
_base_ = './mim/mim_published.py'
dataset = 'NUDT-SIRST'
