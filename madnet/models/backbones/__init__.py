from .adadcm_encoder import AdaDCMEncoder
from .mim_encoder import MiMEncoder

__all__ = ['AdaDCMEncoder', 'MiMEncoder']
