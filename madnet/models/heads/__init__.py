from .madnet_head import MADNetHead

__all__ = ['MADNetHead']
