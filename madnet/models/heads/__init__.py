from .dnanet_head import DNANetHead
from .fcn_head import FCNSegHead
from .madnet_head import MADNetHead
from .mim_head import MiMHead
from .pyramid_head import PyramidHead
from .rdian_head import RDIANHead

__all__ = [
    'DNANetHead',
    'FCNSegHead',
    'MADNetHead',
    'MiMHead',
    'PyramidHead',
    'RDIANHead',
]
