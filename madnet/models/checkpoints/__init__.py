"""Published checkpoints and ours: one file per network."""

from .madnet import convert_madnet, export_madnet, published_width
from .mim import convert_mim, export_mim, published_mim_shape

__all__ = [
    'convert_madnet',
    'convert_mim',
    'export_madnet',
    'export_mim',
    'published_mim_shape',
    'published_width',
]
