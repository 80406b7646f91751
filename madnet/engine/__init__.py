"""Training and testing on mmengine's Runner."""

from madnet import _quiet_import  # noqa: F401  # isort: skip
from madnet.engine import hooks, irstd_metric, loops, optim, runner, upstream_reading

__all__ = ['hooks', 'irstd_metric', 'loops', 'optim', 'runner', 'upstream_reading']
