from .abc_encoder import ABCEncoder
from .adadcm_encoder import AdaDCMEncoder
from .dnanet_encoder import DNANetEncoder
from .isnet_encoder import ISNetEncoder
from .mim_encoder import MiMEncoder
from .mshnet_encoder import MSHNetEncoder
from .rdian_encoder import RDIANEncoder
from .repisd_encoder import RepISDEncoder
from .sctransnet_encoder import SCTransNetEncoder
from .thin_resnet import ThinResNet
from .uiunet_encoder import UIUNetEncoder

__all__ = [
    'ABCEncoder',
    'AdaDCMEncoder',
    'DNANetEncoder',
    'ISNetEncoder',
    'MSHNetEncoder',
    'MiMEncoder',
    'RDIANEncoder',
    'RepISDEncoder',
    'SCTransNetEncoder',
    'ThinResNet',
    'UIUNetEncoder',
]
