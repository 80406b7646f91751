"""Imports every module that registers a component or a source of weights; the registries import this one."""

from madnet import _quiet_import  # noqa: F401  # isort: skip
from madnet import models, pretrained
from madnet.datasets import repeat_dataset, sirst_dataset, synthetic, transforms
from madnet.engine import hooks, irstd_metric, loops, optim, runner, upstream_reading
from madnet.visualization import local_backend, visualizer

__all__ = [
    'hooks',
    'irstd_metric',
    'local_backend',
    'loops',
    'models',
    'optim',
    'pretrained',
    'repeat_dataset',
    'runner',
    'sirst_dataset',
    'synthetic',
    'transforms',
    'upstream_reading',
    'visualizer',
]
