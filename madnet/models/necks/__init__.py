from .acm_neck import ACMFPNNeck, ACMUNetNeck
from .mamba_neck import MambaNeck
from .mema2m_neck import MemA2MNeck

__all__ = ['ACMFPNNeck', 'ACMUNetNeck', 'MambaNeck', 'MemA2MNeck']
