from .acm_neck import ACMFPNNeck, ACMUNetNeck
from .alcnet_neck import ALCNetBasicNeck, ALCNetNeck
from .mamba_neck import MambaNeck
from .mema2m_neck import MemA2MNeck
from .sctransnet_neck import SCTransNetNeck

__all__ = [
    'ACMFPNNeck',
    'ACMUNetNeck',
    'ALCNetBasicNeck',
    'ALCNetNeck',
    'MambaNeck',
    'MemA2MNeck',
    'SCTransNetNeck',
]
