"""Detectors without training: from an image to a score map, by the formulas of their papers."""

from .detector import ClassicalDetector
from .directional import max_mean, max_median
from .gaussian import dog, log
from .ipi import ipi, ipi_alm
from .local_contrast import hb_mlcm, lcm, mpcm, rlcm
from .mean_difference import aadcdd, aagd, admd
from .morphology import ring_top_hat, top_hat
from .nram import nram
from .pstnn import pstnn
from .ript import ript
from .table import DETECTORS, Detector, get_detector
from .thresholds import DEFAULT_RULE, ThresholdRule, get_rule
from .tri_layer import tllcm, wslcm

__all__ = [
    'DEFAULT_RULE',
    'DETECTORS',
    'ClassicalDetector',
    'Detector',
    'ThresholdRule',
    'aadcdd',
    'aagd',
    'admd',
    'dog',
    'get_detector',
    'get_rule',
    'hb_mlcm',
    'ipi',
    'ipi_alm',
    'lcm',
    'log',
    'max_mean',
    'max_median',
    'mpcm',
    'nram',
    'pstnn',
    'ring_top_hat',
    'ript',
    'rlcm',
    'tllcm',
    'top_hat',
    'wslcm',
]
