"""Networks and losses; importing this package registers all of them in mmseg's registries.

``init_cfg`` is everywhere what it is in mmengine's ``BaseModule``.
"""

from madnet import _quiet_import  # noqa: F401  # isort: skip
from madnet.models import backbones, heads, losses, necks
from madnet.models.deploy import switch_to_deploy
from madnet.models.segmentors import ClassicalDetector, IRSTDSegmentor

__all__ = ['ClassicalDetector', 'IRSTDSegmentor', 'backbones', 'heads', 'losses', 'necks', 'switch_to_deploy']
