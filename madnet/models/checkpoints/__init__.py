"""Published checkpoints and ours: one file per network."""

from .madnet import convert_madnet, export_madnet, published_width

__all__ = ['convert_madnet', 'export_madnet', 'published_width']
