"""Training and testing on mmengine's Runner."""

from madnet.engine import hooks, loops, optim, runner

__all__ = ['hooks', 'loops', 'optim', 'runner']
