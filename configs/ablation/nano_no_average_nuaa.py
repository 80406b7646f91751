# The weights as they are, not their moving average.
_base_ = './nano_nuaa.py'
custom_hooks = []
