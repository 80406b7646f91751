"""What encoders, necks and heads are built from.

Blocks that one network alone uses stand in its file, ``<network>_blocks.py``, in the order in which an image
passes them. General operations, and what several networks use, have a file of their own that is named after
them. Backbones, necks and heads hold what a config names; everything else that they need is here.
"""

from madnet.models.layers.abc_blocks import CLFT, UCDC, BilinearCorrelation
from madnet.models.layers.adaptive_pool import AdaptiveAvgPool
from madnet.models.layers.alcnet_blocks import BottomUpFusion, local_contrast, patch_contrast
from madnet.models.layers.cbam import CBAMBlock, ChannelGate, SpatialGate, cbam_stage
from madnet.models.layers.conv_blocks import ConvBNReLU, DoubleConv, UpConv
from madnet.models.layers.deform_conv import DeformConv2d, deform_conv2d
from madnet.models.layers.enlarge import enlarge
from madnet.models.layers.fusion import AsymmetricFusion
from madnet.models.layers.gradient import gradient_magnitude
from madnet.models.layers.halve import halve
from madnet.models.layers.isnet_blocks import TaylorDifference, TwoOrientationAttention
from madnet.models.layers.madnet_blocks import (
    MLP,
    AdaDCM,
    DifferentialConv,
    MemA2M,
    MemA2MBlock,
    MemoryAttention,
    PixelAttention,
)
from madnet.models.layers.mamba_block import InvertedResidualFFN, MambaBlock
from madnet.models.layers.mim_blocks import (
    MiMBlock,
    MiMStage,
    MiMStem,
    PatchExpand,
    SentenceMerge,
    UpsampleBlock,
    WordBlock,
    WordMerge,
    map_to_words,
    words_to_map,
)
from madnet.models.layers.padding import pad_reflect
from madnet.models.layers.rdian_blocks import ConvBNLeakyReLU, ReceptiveFieldBlock, opposite_contrast
from madnet.models.layers.repisd_blocks import ECB, CentralDifferenceConv
from madnet.models.layers.residual_block import ResidualBlock, residual_layer
from madnet.models.layers.resize_like import resize_like
from madnet.models.layers.sctransnet_blocks import (
    ChannelNorm,
    ComplementaryFFN,
    CrossChannelAttention,
    CrossGate,
    SCTBlock,
)
from madnet.models.layers.ss2d import SS2D
from madnet.models.layers.uiunet_blocks import RSU, InteractiveCrossAttention, rsu_at

__all__ = [
    'CLFT', 'ECB', 'MLP', 'RSU', 'SS2D', 'UCDC', 'AdaDCM', 'AdaptiveAvgPool', 'AsymmetricFusion',
    'BilinearCorrelation', 'BottomUpFusion', 'CBAMBlock', 'CentralDifferenceConv', 'ChannelGate',
    'ChannelNorm', 'ComplementaryFFN', 'ConvBNLeakyReLU', 'ConvBNReLU', 'CrossChannelAttention',
    'CrossGate', 'DeformConv2d', 'DifferentialConv', 'DoubleConv', 'InteractiveCrossAttention',
    'InvertedResidualFFN', 'MambaBlock', 'MemA2M', 'MemA2MBlock', 'MemoryAttention', 'MiMBlock',
    'MiMStage', 'MiMStem', 'PatchExpand', 'PixelAttention', 'ReceptiveFieldBlock', 'ResidualBlock',
    'SCTBlock', 'SentenceMerge', 'SpatialGate', 'TaylorDifference', 'TwoOrientationAttention', 'UpConv',
    'UpsampleBlock', 'WordBlock', 'WordMerge', 'cbam_stage', 'deform_conv2d', 'enlarge',
    'gradient_magnitude', 'halve', 'local_contrast', 'map_to_words', 'opposite_contrast', 'pad_reflect',
    'patch_contrast', 'residual_layer', 'resize_like', 'rsu_at',
    'words_to_map',
]  # fmt: skip
