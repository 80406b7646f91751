"""madnet: infrared small target detection, trained, tested, compared and put to use.

Importing it registers every component in mmseg's registries.
"""

from madnet import _quiet_import  # noqa: F401  # isort: skip
from madnet import classical, datasets, engine, evaluation, inference, models, ops, pretrained, visualization

__version__ = '0.1.0'
__all__ = [
    'classical',
    'datasets',
    'engine',
    'evaluation',
    'inference',
    'models',
    'ops',
    'pretrained',
    'visualization',
]
