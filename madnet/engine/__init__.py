"""Training and testing on mmengine's Runner; what registers is imported by :mod:`madnet.components`."""
