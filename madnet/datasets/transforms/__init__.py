"""Transforms of infrared samples, registered in mmseg's TRANSFORMS."""

from madnet import _quiet_import  # noqa: F401  # isort: skip
from .formatting import PackSIRSTInputs
from .loading import LoadSIRSTImage, LoadSIRSTMask
from .maximum_scale import ScaleToMaximum
from .native_scale import (
    CopyPasteTargets,
    GainOffsetJitter,
    RandomBlur,
    RandomNoise,
    RandomRot90,
    RandomTargetCrop,
)
from .published_chain import (
    PublishedBlur,
    PublishedFlip,
    PublishedRandomCrop,
    PublishedRandomScale,
    PublishedTestResize,
)
from .sensor_defects import SensorDefects
from .toolbox_crop import ToolboxCrop

__all__ = [
    'CopyPasteTargets', 'GainOffsetJitter', 'LoadSIRSTImage', 'LoadSIRSTMask', 'PackSIRSTInputs',
    'PublishedBlur', 'PublishedFlip', 'PublishedRandomCrop', 'PublishedRandomScale',
    'PublishedTestResize', 'RandomBlur', 'RandomNoise', 'RandomRot90', 'RandomTargetCrop',
    'ScaleToMaximum', 'SensorDefects', 'ToolboxCrop',
]  # fmt: skip
