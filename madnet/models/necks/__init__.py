from .mema2m_neck import MemA2MNeck

__all__ = ['MemA2MNeck']
