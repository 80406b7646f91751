"""The selective scan of Mamba (S6), over sequences and in four directions over maps."""

from .interface import selective_scan, selective_scan_2d, selective_scan_backends

__all__ = ['selective_scan', 'selective_scan_2d', 'selective_scan_backends']
