from madnet.models.segmentors.classical_detector import ClassicalDetector
from madnet.models.segmentors.irstd_preprocessor import IRSTDPreProcessor
from madnet.models.segmentors.irstd_segmentor import IRSTDSegmentor

__all__ = ['ClassicalDetector', 'IRSTDPreProcessor', 'IRSTDSegmentor']
