"""Networks and losses; importing this package registers all of them in mmseg's registries."""

from .backbones import AdaDCMEncoder
from .deploy import switch_to_deploy
from .heads import MADNetHead
from .losses import MaskBCELoss, SLSLoss, SoftDiceLoss, SoftIoULoss
from .necks import MemA2MNeck
from .segmentors import IRSTDPreProcessor, IRSTDSegmentor

__all__ = [
    'AdaDCMEncoder',
    'IRSTDPreProcessor',
    'IRSTDSegmentor',
    'MADNetHead',
    'MaskBCELoss',
    'MemA2MNeck',
    'SLSLoss',
    'SoftDiceLoss',
    'SoftIoULoss',
    'switch_to_deploy',
]
