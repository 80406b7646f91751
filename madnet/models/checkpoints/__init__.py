"""Published checkpoints and ours: one file per network."""

from .dnanet import convert_dnanet, export_dnanet, published_dnanet_shape
from .madnet import convert_madnet, export_madnet, published_width
from .mim import convert_mim, export_mim, published_mim_shape
from .rdian import convert_rdian, export_rdian

__all__ = [
    'convert_dnanet',
    'convert_madnet',
    'convert_mim',
    'convert_rdian',
    'export_dnanet',
    'export_madnet',
    'export_mim',
    'export_rdian',
    'published_dnanet_shape',
    'published_mim_shape',
    'published_width',
]
