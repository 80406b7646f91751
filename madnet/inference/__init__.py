"""From images to targets: networks and training-free detectors put to use.

Names are imported when they are first used: an exported network (:class:`OnnxPredictor`) needs no torch.
"""

from typing import TYPE_CHECKING

from madnet.lazy import importing

if TYPE_CHECKING:
    from .onnx_predictor import OnnxPredictor
    from .prediction import Prediction, Target
    from .predictor import Predictor

__all__ = ['OnnxPredictor', 'Prediction', 'Predictor', 'Target']

__getattr__ = importing(
    __name__,
    {
        'OnnxPredictor': 'onnx_predictor',
        'Prediction': 'prediction',
        'Predictor': 'predictor',
        'Target': 'prediction',
    },
)
