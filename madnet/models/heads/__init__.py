from .fcn_head import FCNSegHead
from .madnet_head import MADNetHead
from .mim_head import MiMHead
from .pyramid_head import PyramidHead

__all__ = ['FCNSegHead', 'MADNetHead', 'MiMHead', 'PyramidHead']
