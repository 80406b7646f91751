"""Learning-rate curves, weight averaging and mixed precision beside mmengine's."""

from madnet.engine.optim.cpu_amp import CPUAmpOptimWrapper
from madnet.engine.optim.grouped import GroupedOptimWrapperConstructor
from madnet.engine.optim.ramped_ema import RampedEMA
from madnet.engine.optim.schedulers import (
    PublishedCosineLR,
    PublishedPolyLR,
    WarmupCosineLR,
    WarmupFlatDecayLR,
)

__all__ = [
    'CPUAmpOptimWrapper', 'GroupedOptimWrapperConstructor', 'PublishedCosineLR', 'PublishedPolyLR',
    'RampedEMA', 'WarmupCosineLR', 'WarmupFlatDecayLR',
]  # fmt: skip
