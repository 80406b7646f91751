"""Necks: maps → maps."""

from madnet.models.necks.acm_neck import ACMFPNNeck, ACMUNetNeck
from madnet.models.necks.alcnet_neck import ALCNetBasicNeck, ALCNetNeck
from madnet.models.necks.mamba_neck import MambaNeck
from madnet.models.necks.mema2m_neck import MemA2MNeck
from madnet.models.necks.sctransnet_neck import SCTransNetNeck

__all__ = [
    'ACMFPNNeck', 'ACMUNetNeck', 'ALCNetBasicNeck', 'ALCNetNeck', 'MambaNeck', 'MemA2MNeck',
    'SCTransNetNeck',
]  # fmt: skip
