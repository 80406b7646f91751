"""What several encoders, necks and heads are built from."""

from .adadcm import AdaDCM
from .bilinear_correlation import BilinearCorrelation
from .cbam import CBAMBlock, ChannelGate, SpatialGate, cbam_stage
from .central_difference import ECB, CentralDifferenceConv
from .channel_norm import ChannelNorm
from .channel_transformer import ComplementaryFFN, CrossChannelAttention, SCTBlock
from .clft import CLFT
from .conv_blocks import ConvBNReLU, DoubleConv, UpConv
from .deform_conv import DeformConv2d, deform_conv2d
from .differential_conv import DifferentialConv
from .enlarge import enlarge
from .fusion import AsymmetricFusion, BottomUpFusion
from .gradient import gradient_magnitude
from .interactive_attention import InteractiveCrossAttention
from .inverted_ffn import InvertedResidualFFN
from .local_contrast import local_contrast, patch_contrast
from .mamba_block import MambaBlock
from .mema2m import MLP, MemA2M, MemA2MBlock
from .memory_attention import MemoryAttention
from .mim_block import MiMBlock, WordBlock
from .mim_merge import SentenceMerge, WordMerge
from .mim_stem import MiMStem
from .opposite_contrast import opposite_contrast
from .padding import pad_reflect
from .patch_expand import PatchExpand
from .pixel_attention import PixelAttention
from .residual_block import ResidualBlock, residual_layer
from .resize_like import resize_like
from .rsu import RSU, rsu_at
from .ss2d import SS2D
from .stem import Stem1, Stem4
from .taylor_difference import TaylorDifference
from .two_orientation import TwoOrientationAttention
from .ucdc import UCDC
from .upsample_block import UpsampleBlock
from .windows import window_partition, window_reverse
from .words import map_to_words, words_to_map

__all__ = [
    'CLFT',
    'ECB',
    'MLP',
    'RSU',
    'SS2D',
    'UCDC',
    'AdaDCM',
    'AsymmetricFusion',
    'BilinearCorrelation',
    'BottomUpFusion',
    'CBAMBlock',
    'CentralDifferenceConv',
    'ChannelGate',
    'ChannelNorm',
    'ComplementaryFFN',
    'ConvBNReLU',
    'CrossChannelAttention',
    'DeformConv2d',
    'DifferentialConv',
    'DoubleConv',
    'InteractiveCrossAttention',
    'InvertedResidualFFN',
    'MambaBlock',
    'MemA2M',
    'MemA2MBlock',
    'MemoryAttention',
    'MiMBlock',
    'MiMStem',
    'PatchExpand',
    'PixelAttention',
    'ResidualBlock',
    'SCTBlock',
    'SentenceMerge',
    'SpatialGate',
    'Stem1',
    'Stem4',
    'TaylorDifference',
    'TwoOrientationAttention',
    'UpConv',
    'UpsampleBlock',
    'WordBlock',
    'WordMerge',
    'cbam_stage',
    'deform_conv2d',
    'enlarge',
    'gradient_magnitude',
    'local_contrast',
    'map_to_words',
    'opposite_contrast',
    'pad_reflect',
    'patch_contrast',
    'residual_layer',
    'resize_like',
    'rsu_at',
    'window_partition',
    'window_reverse',
    'words_to_map',
]
