"""Transforms of infrared samples, registered in mmseg's TRANSFORMS."""

from .formatting import PackSIRSTInputs
from .loading import LoadSIRSTImage, LoadSIRSTMask
from .native_scale import GainOffsetJitter, RandomNoise, RandomRot90, RandomTargetCrop
from .published_chain import PadToSize, PILResize, RandomLongSideResize, RandomPILGaussianBlur

__all__ = [
    'GainOffsetJitter',
    'LoadSIRSTImage',
    'LoadSIRSTMask',
    'PILResize',
    'PackSIRSTInputs',
    'PadToSize',
    'RandomLongSideResize',
    'RandomNoise',
    'RandomPILGaussianBlur',
    'RandomRot90',
    'RandomTargetCrop',
]
