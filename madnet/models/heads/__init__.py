from .abc_head import ABCHead
from .dnanet_head import DNANetHead
from .fcn_head import FCNSegHead
from .isnet_head import ISNetHead
from .madnet_head import MADNetHead
from .mim_head import MiMHead
from .pyramid_head import PyramidHead
from .rdian_head import RDIANHead
from .unet_head import UNetHead

__all__ = [
    'ABCHead',
    'DNANetHead',
    'FCNSegHead',
    'ISNetHead',
    'MADNetHead',
    'MiMHead',
    'PyramidHead',
    'RDIANHead',
    'UNetHead',
]
