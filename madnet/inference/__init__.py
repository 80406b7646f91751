"""From images to targets: networks and training-free detectors put to use.

Names are imported when they are first used: an exported network (:class:`OnnxPredictor`) needs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .onnx_predictor import OnnxPredictor
    from .prediction import Prediction, Target
    from .predictor import Predictor

__all__ = ['OnnxPredictor', 'Prediction', 'Predictor', 'Target']

_HOMES = {
    'OnnxPredictor': 'onnx_predictor',
    'Prediction': 'prediction',
    'Predictor': 'predictor',
    'Target': 'prediction',
}


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(import_module(f'{__name__}.{_HOMES[name]}'), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
