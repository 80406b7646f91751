"""Pixel-level numbers from counts: IoU, nIoU, precision, recall, F1."""

from collections.abc import Sequence
from math import fsum, nan

import numpy as np


def count_and(a: np.ndarray, b: np.ndarray) -> int:
    """Pixels that two bool maps (H, W) share."""
    return int(np.count_nonzero(a & b))


def ratio(numerator: float, denominator: float, empty: float = nan) -> float:
    """``numerator / denominator``, or ``empty`` where the denominator is 0."""
    return float(numerator) / float(denominator) if denominator else float(empty)


def whole(value: float) -> int | float:
    """A count as a whole number, NaN where it is undefined."""
    return int(value) if value == value else nan


def image_iou(intersections: np.ndarray, unions: np.ndarray, empty: float) -> np.ndarray:
    """Per-image IoU (n,) in 0–1; ``empty`` where an image has no foreground, true or predicted."""
    return np.divide(
        intersections, unions, out=np.full(len(unions), float(empty)), where=np.asarray(unions) != 0
    )


def mean(values: np.ndarray | Sequence[float]) -> float:
    """Mean that does not depend on the order of its terms, NaN for none."""
    return ratio(fsum(values), len(values))


def precision_recall_f1(
    tp: float,
    predicted: float,
    positive: float,
    epsilons: tuple[float, float, float] = (0, 0, 0),
    empty: float = nan,
) -> tuple[float, float, float]:
    """Precision, recall and F1 = 2PR/(P+R), in 0–1.

    Args:
        tp, predicted, positive: Pixels of a set: TP, TP + FP, TP + FN.
        epsilons: Added to the denominators of recall, precision and F1 (published ABC code: 1e-3, 1e-3,
            1e-5).
        empty: All three where nothing is predicted and nothing true, as for the IoU; without epsilons, F1
            then equals 2·IoU/(1+IoU) always.
    """
    if not any(epsilons):
        if not predicted and not positive:
            return float(empty), float(empty), float(empty)
        # A prediction without foreground, or a truth without, has no hit: 0, as F1 = 2TP/(2TP+FP+FN) says.
        return ratio(tp, predicted, 0), ratio(tp, positive, 0), ratio(2 * tp, predicted + positive)
    recall = ratio(tp, positive + epsilons[0], 0)
    precision = ratio(tp, predicted + epsilons[1], 0)
    return precision, recall, ratio(2 * recall * precision, recall + precision + epsilons[2], 0)
