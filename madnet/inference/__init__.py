"""From images to targets: networks and training-free detectors put to use."""

from madnet import _quiet_import  # noqa: F401  # isort: skip
from .prediction import Prediction, Target
from .predictor import Predictor

__all__ = ['Prediction', 'Predictor', 'Target']
