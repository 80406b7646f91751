from .abc_encoder import ABCEncoder
from .adadcm_encoder import AdaDCMEncoder
from .dnanet import DNANetEncoder
from .isnet import ISNetEncoder
from .mim_encoder import MiMEncoder
from .mshnet import MSHNetEncoder
from .rdian import RDIANEncoder
from .repisd import RepISDEncoder
from .sctransnet import SCTransNetEncoder
from .thin_resnet import ThinResNet
from .uiunet import UIUNetEncoder

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
