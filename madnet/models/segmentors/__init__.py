from .irstd_preprocessor import IRSTDPreProcessor
from .irstd_segmentor import IRSTDSegmentor

__all__ = ['IRSTDPreProcessor', 'IRSTDSegmentor']
