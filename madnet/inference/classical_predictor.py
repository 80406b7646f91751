"""Prediction with a training-free detector, without PyTorch."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from madnet.classical.detectors import get_detector
from madnet.classical.thresholds import DEFAULT_RULE, get_rule
from madnet.evaluation.targets import Least
from madnet.images import FrameLoader
from madnet.images.values import ValueRange

from .base_predictor import BasePredictor
from .prediction import Maps


class ClassicalPredictor(BasePredictor):
    """Finds targets in images by a training-free detector with its usual parameters.

    Its scores are those of :class:`~madnet.inference.Predictor`, bit for bit.

    Args:
        method: Name of the detector, such as ``'pstnn'``.
        threshold: 0–1; 0.5 stands for the threshold that the detector's rule found in the image.
        value_range: As in :class:`~madnet.inference.Predictor`.
        min_area, min_scr, min_rank: As in :class:`~madnet.inference.Predictor`.

    Raises:
        UserError: Unknown detector, or an argument out of range.
    """

    def __init__(
        self,
        method: str,
        threshold: float = 0.5,
        value_range: ValueRange = None,
        min_area: int = 1,
        min_scr: float = 0.0,
        min_rank: float = 0.0,
    ):
        super().__init__(threshold, least=Least(min_area, min_scr, min_rank))
        self._detector, self._rule = get_detector(method), get_rule(DEFAULT_RULE)
        self._loader = FrameLoader(1, value_range)

    @property
    def name(self) -> str:
        return self._detector.name

    @property
    def origin(self) -> dict[str, Any]:
        return {}

    @property
    def loader(self) -> FrameLoader:
        return self._loader

    def set_threads(self, number: int) -> None:
        cv2.setNumThreads(number)

    def score_all(self, pixels: Sequence[np.ndarray], shown: Sequence[str]) -> list[Maps]:
        return [Maps(self._rule.to_unit(self._detector(image))) for image in pixels]
