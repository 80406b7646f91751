"""Encoders: image → maps, finest first.

Their ``forward`` raises an :class:`~madnet.models.input_check.InputError` for an image with other channels
than ``in_channels``, or with a side below 32 pixels.
"""

from madnet.models.backbones.abc_encoder import ABCEncoder
from madnet.models.backbones.adadcm_encoder import AdaDCMEncoder
from madnet.models.backbones.dnanet_encoder import DNANetEncoder
from madnet.models.backbones.isnet_encoder import ISNetEncoder
from madnet.models.backbones.mim_encoder import MiMEncoder
from madnet.models.backbones.mshnet_encoder import MSHNetEncoder
from madnet.models.backbones.rdian_encoder import RDIANEncoder
from madnet.models.backbones.repisd_encoder import RepISDEncoder
from madnet.models.backbones.sctransnet_encoder import SCTransNetEncoder
from madnet.models.backbones.thin_resnet import ThinResNet
from madnet.models.backbones.uiunet_encoder import UIUNetEncoder

__all__ = [
    'ABCEncoder', 'AdaDCMEncoder', 'DNANetEncoder', 'ISNetEncoder', 'MSHNetEncoder', 'MiMEncoder',
    'RDIANEncoder', 'RepISDEncoder', 'SCTransNetEncoder', 'ThinResNet', 'UIUNetEncoder',
]  # fmt: skip
