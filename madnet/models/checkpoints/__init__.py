"""Published checkpoints and ours: one file per network."""

from .abc import convert_abc, export_abc, published_abc_shape
from .acm import convert_acm, export_acm, published_acm_shape
from .alcnet import convert_alcnet, export_alcnet, published_alcnet_shape
from .dnanet import convert_dnanet, export_dnanet, published_dnanet_shape
from .isnet import convert_isnet, export_isnet
from .madnet import convert_madnet, export_madnet, published_width
from .mim import convert_mim, export_mim, published_mim_shape
from .mshnet import convert_mshnet, export_mshnet
from .rdian import convert_rdian, export_rdian
from .repisd import convert_repisd, export_repisd
from .sctransnet import convert_sctransnet, export_sctransnet
from .uiunet import convert_uiunet, export_uiunet, published_uiunet_width

__all__ = [
    'convert_abc',
    'convert_acm',
    'convert_alcnet',
    'convert_dnanet',
    'convert_isnet',
    'convert_madnet',
    'convert_mim',
    'convert_mshnet',
    'convert_rdian',
    'convert_repisd',
    'convert_sctransnet',
    'convert_uiunet',
    'export_abc',
    'export_acm',
    'export_alcnet',
    'export_dnanet',
    'export_isnet',
    'export_madnet',
    'export_mim',
    'export_mshnet',
    'export_rdian',
    'export_repisd',
    'export_sctransnet',
    'export_uiunet',
    'published_abc_shape',
    'published_acm_shape',
    'published_alcnet_shape',
    'published_dnanet_shape',
    'published_mim_shape',
    'published_uiunet_width',
    'published_width',
]
