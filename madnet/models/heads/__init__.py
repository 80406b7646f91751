from .madnet_head import MADNetHead
from .mim_head import MiMHead
from .pyramid_head import PyramidHead

__all__ = ['MADNetHead', 'MiMHead', 'PyramidHead']
