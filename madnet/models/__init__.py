"""Networks and losses; importing this package registers all of them in mmseg's registries."""

from madnet import _quiet_import  # noqa: F401  # isort: skip
from . import backbones, heads, losses, necks, segmentors
from .backbones import *  # noqa: F403
from .deploy import switch_to_deploy
from .heads import *  # noqa: F403
from .losses import *  # noqa: F403
from .necks import *  # noqa: F403
from .segmentors import *  # noqa: F403

__all__ = [
    *backbones.__all__,
    *heads.__all__,
    *losses.__all__,
    *necks.__all__,
    *segmentors.__all__,
    'switch_to_deploy',
]
