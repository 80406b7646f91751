from .adadcm_encoder import AdaDCMEncoder

__all__ = ['AdaDCMEncoder']
