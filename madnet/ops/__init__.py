"""Operators that stand on their own: they import nothing else of the package."""

from .selective_scan import selective_scan, selective_scan_2d, selective_scan_backends

__all__ = ['selective_scan', 'selective_scan_2d', 'selective_scan_backends']
