"""What several encoders, necks and heads are built from."""

from .adadcm import AdaDCM
from .conv_blocks import ConvBNReLU, DoubleConv, UpConv
from .differential_conv import DifferentialConv
from .enlarge import enlarge
from .mema2m import MLP, MemA2M, MemA2MBlock
from .memory_attention import MemoryAttention
from .padding import pad_reflect
from .pixel_attention import PixelAttention
from .windows import window_partition, window_reverse

__all__ = [
    'MLP',
    'AdaDCM',
    'ConvBNReLU',
    'DifferentialConv',
    'DoubleConv',
    'MemA2M',
    'MemA2MBlock',
    'MemoryAttention',
    'PixelAttention',
    'UpConv',
    'enlarge',
    'pad_reflect',
    'window_partition',
    'window_reverse',
]
