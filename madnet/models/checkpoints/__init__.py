"""Published checkpoints and ours: one file per network."""

from .abc import convert_abc, export_abc, published_abc_shape
from .acm import convert_acm, export_acm, published_acm_shape
from .dnanet import convert_dnanet, export_dnanet, published_dnanet_shape
from .isnet import convert_isnet, export_isnet
from .madnet import convert_madnet, export_madnet, published_width
from .mim import convert_mim, export_mim, published_mim_shape
from .rdian import convert_rdian, export_rdian

__all__ = [
    'convert_abc',
    'convert_acm',
    'convert_dnanet',
    'convert_isnet',
    'convert_madnet',
    'convert_mim',
    'convert_rdian',
    'export_abc',
    'export_acm',
    'export_dnanet',
    'export_isnet',
    'export_madnet',
    'export_mim',
    'export_rdian',
    'published_abc_shape',
    'published_acm_shape',
    'published_dnanet_shape',
    'published_mim_shape',
    'published_width',
]
