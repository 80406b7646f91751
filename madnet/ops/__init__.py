"""Operators that stand on their own: they import nothing else of the package."""

from .narrow_conv import conv3x3
from .selective_scan import selective_scan, selective_scan_2d, selective_scan_backends

__all__ = ['conv3x3', 'selective_scan', 'selective_scan_2d', 'selective_scan_backends']
