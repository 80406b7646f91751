from .abc_head import ABCHead
from .dnanet_head import DNANetHead
from .fcn_head import FCNSegHead
from .isnet_head import ISNetHead
from .madnet_head import MADNetHead
from .mim_head import MiMHead
from .mshnet_head import MSHNetHead
from .pyramid_head import PyramidHead
from .rdian_head import RDIANHead
from .repisd_head import RepISDHead
from .sctransnet_head import SCTransNetHead
from .uiunet_head import UIUNetHead
from .unet_head import UNetHead

__all__ = [
    'ABCHead',
    'DNANetHead',
    'FCNSegHead',
    'ISNetHead',
    'MADNetHead',
    'MSHNetHead',
    'MiMHead',
    'PyramidHead',
    'RDIANHead',
    'RepISDHead',
    'SCTransNetHead',
    'UIUNetHead',
    'UNetHead',
]
