"""Networks and losses; importing this package registers all of them in mmseg's registries.

``init_cfg`` is everywhere what it is in mmengine's ``BaseModule``.
"""

from madnet import _quiet_import  # isort: skip
from madnet.models import backbones, heads, losses, necks, segmentors
from madnet.models.backbones import *  # noqa: F403
from madnet.models.deploy import switch_to_deploy
from madnet.models.heads import *  # noqa: F403
from madnet.models.losses import *  # noqa: F403
from madnet.models.necks import *  # noqa: F403
from madnet.models.segmentors import *  # noqa: F403

__all__ = [
    *backbones.__all__,
    *heads.__all__,
    *losses.__all__,
    *necks.__all__,
    *segmentors.__all__,
    'switch_to_deploy',
]
