from .abc_encoder import ABCEncoder
from .adadcm_encoder import AdaDCMEncoder
from .dnanet import DNANetEncoder
from .isnet import ISNetEncoder
from .mim_encoder import MiMEncoder
from .rdian import RDIANEncoder
from .thin_resnet import ThinResNet

__all__ = [
    'ABCEncoder',
    'AdaDCMEncoder',
    'DNANetEncoder',
    'ISNetEncoder',
    'MiMEncoder',
    'RDIANEncoder',
    'ThinResNet',
]
