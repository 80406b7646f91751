"""Heads: maps → logits, and their losses.

All take ``in_channels``, the channels of the pyramid's maps, finest first, and as further arguments those of
:class:`PyramidHead`, such as ``loss_decode`` and ``soft_targets``.
"""

from madnet.models.heads.abc_head import ABCHead
from madnet.models.heads.dnanet_head import DNANetHead
from madnet.models.heads.fcn_head import FCNSegHead
from madnet.models.heads.isnet_head import ISNetHead
from madnet.models.heads.madnet_head import MADNetHead
from madnet.models.heads.mim_head import MiMHead
from madnet.models.heads.mshnet_head import MSHNetHead
from madnet.models.heads.pyramid_head import PyramidHead
from madnet.models.heads.rdian_head import RDIANHead
from madnet.models.heads.repisd_head import RepISDHead
from madnet.models.heads.sctransnet_head import SCTransNetHead
from madnet.models.heads.uiunet_head import UIUNetHead
from madnet.models.heads.unet_head import UNetHead

__all__ = [
    'ABCHead', 'DNANetHead', 'FCNSegHead', 'ISNetHead', 'MADNetHead', 'MSHNetHead', 'MiMHead',
    'PyramidHead', 'RDIANHead', 'RepISDHead', 'SCTransNetHead', 'UIUNetHead', 'UNetHead',
]  # fmt: skip
