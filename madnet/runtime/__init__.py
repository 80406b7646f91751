"""Exported networks at work without PyTorch: NumPy, OpenCV, Pillow and ONNX Runtime are all it takes.

::

    from madnet.runtime import Predictor

    predictor = Predictor('madnet_nano.onnx')
    for target in predictor('scene.png').targets:
        print(target.x, target.y, target.area, target.peak)
"""

from madnet.inference.onnx_predictor import OnnxPredictor as Predictor
from madnet.inference.prediction import Prediction, Target

__all__ = ['Prediction', 'Predictor', 'Target']
