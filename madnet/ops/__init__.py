"""Operators that stand on their own: they import nothing else of the package."""

from .half_training import has_kernels
from .layer_norm import layer_norm
from .memory_gate import memory_gate
from .mirrored_conv import mirrored_conv
from .narrow_conv import conv3x3, takes_float32
from .selective_scan import selective_scan, selective_scan_2d, selective_scan_backends

__all__ = [
    'conv3x3', 'has_kernels', 'layer_norm', 'memory_gate', 'mirrored_conv', 'selective_scan',
    'selective_scan_2d', 'selective_scan_backends', 'takes_float32',
]  # fmt: skip
