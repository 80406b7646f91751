"""Training and testing on mmengine's Runner."""

from madnet import _quiet_import  # isort: skip
from madnet.engine import hooks, irstd_metric, loops, optim, runner, upstream_reading
