from .mamba_neck import MambaNeck
from .mema2m_neck import MemA2MNeck

__all__ = ['MambaNeck', 'MemA2MNeck']
