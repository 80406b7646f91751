"""From images to targets: networks and training-free detectors put to use."""

from madnet import _quiet_import  # isort: skip
from .prediction import Prediction, Target
from .predictor import Predictor
