"""Networks and losses; importing this package registers all of them in mmseg's registries."""

from .backbones import AdaDCMEncoder, MiMEncoder
from .deploy import switch_to_deploy
from .heads import MADNetHead, MiMHead
from .losses import MaskBCELoss, SLSLoss, SoftDiceLoss, SoftIoULoss
from .necks import MambaNeck, MemA2MNeck
from .pretrained import get_pretrained, list_pretrained, load_pretrained
from .segmentors import IRSTDPreProcessor, IRSTDSegmentor

__all__ = [
    'AdaDCMEncoder',
    'IRSTDPreProcessor',
    'IRSTDSegmentor',
    'MADNetHead',
    'MambaNeck',
    'MaskBCELoss',
    'MemA2MNeck',
    'MiMEncoder',
    'MiMHead',
    'SLSLoss',
    'SoftDiceLoss',
    'SoftIoULoss',
    'get_pretrained',
    'list_pretrained',
    'load_pretrained',
    'switch_to_deploy',
]
