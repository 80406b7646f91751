"""Rules that turn a raw score map into a decision, one threshold per image, each under a name.

With the same score maps the threshold alone moves IoU by a factor of 2 to 30, so a number of a detector
without training means nothing without its rule.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from madnet.errors import UserError

#: The rule of every number here that names no other: ``mean+12std``.
DEFAULT_RULE = 'mean+12std'

# A map whose values differ by less holds the rounding of a flat scene, in whatever unit it scores.
_FLAT = 1e-9

# Decisions have to outlive a 16-bit PNG, which rounds 0.5 up: what is no detection stays a little below.
_HIGHEST_BELOW = np.float32(0.4999)
_LOWEST_ABOVE = np.nextafter(np.float32(0.5), np.float32(1))


def mean_std(scores: np.ndarray, k: float = 12.0) -> float:
    """T = mean + k·std over all pixels (population std): ``mean+12std``.

    Needs no truth at test time and does not change when scores are scaled or shifted. k = 12 is the best of
    3, 5, 7, 10, 12, 15, 20 in the mean IoU of six detectors on the training images of NUAA-SIRST, and on
    NUDT-SIRST; larger images with smaller targets (IRSTD-1K) would like 20. At most 1/(1 + k²) of the pixels
    of any map exceed it, so it is for whole images, not for crops around targets.
    """
    return float(scores.mean() + k * scores.std())


def min_max(scores: np.ndarray, t: float = 0.5) -> float:
    """T = min + t·(max − min): ``minmax0.5``, what many published tables used.

    Dividing by each image's own maximum finds something in every image, and only the brightest core of a
    squared score.
    """
    return float(scores.min() + t * (scores.max() - scores.min()))


def peak(scores: np.ndarray, share: float = 0.7, k: float = 0.5) -> float:
    """T = max(share·max, mean + k·std): ``peak0.7``, as recalled from the DNANet paper's comparison."""
    return max(share * float(scores.max()), mean_std(scores, k))


@dataclass(frozen=True)
class ThresholdRule:
    """A named rule: a raw score map (H, W) → its threshold; pixels strictly above it are detections.

    Attributes:
        name: Printed beside every number.
        formula: For people.
        threshold: The rule itself.
    """

    name: str
    formula: str
    threshold: Callable[[np.ndarray], float]

    def detect(self, scores: np.ndarray) -> np.ndarray:
        """(H, W) raw scores → (H, W) bool. A constant map holds no detection.

        >>> get_rule('minmax0.5').detect(np.array([[0.0, 2.0, 3.0, 4.0]]))
        array([[False, False,  True,  True]])
        """
        scores = np.asarray(scores, np.float64)
        if np.ptp(scores) < _FLAT:
            return np.zeros(scores.shape, bool)
        return scores > self.threshold(scores)

    def to_unit(self, scores: np.ndarray) -> np.ndarray:
        """A raw score map on the scale of a network's probabilities: above 0.5 exactly where it detects.

        Two straight pieces, from the map's minimum to the threshold onto 0–0.5, and from the threshold to the
        maximum onto 0.5–1. The order of the pixels of an image is kept, so its ROC and PR curves are those of
        the raw scores, and whatever is scored at 0.5 is scored under this rule. Across images the scale
        follows each image's threshold; pooled curves therefore belong to the rule. Under ``minmax0.5`` it is
        the plain (S − min)/(max − min), which pooled AUCs in the literature use. What is no detection stays
        below 0.4999, so that no rounding of a saved map makes it one; where nothing is detected, the maximum
        stays below too.

        Args:
            scores: (H, W) raw scores.

        Returns:
            (H, W) float32 in 0–1; all 0 for a constant map.
        """
        scores = np.asarray(scores, np.float64)
        low, high = scores.min(), scores.max()
        if high - low < _FLAT:
            return np.zeros(scores.shape, np.float32)
        threshold = min(max(self.threshold(scores), low), np.finfo(np.float64).max)
        found = self.detect(scores)
        below = 0.5 * (scores - low) / max(threshold - low, _FLAT)
        above = 0.5 + 0.5 * (scores - threshold) / max(high - threshold, _FLAT)
        unit = np.where(found, above, below).astype(np.float32)
        return np.where(found, unit.clip(_LOWEST_ABOVE, 1), unit.clip(0, _HIGHEST_BELOW))


_NUMBER = r'(\d+(?:\.\d+)?)'
_FAMILIES: tuple[tuple[str, str, Callable[[float], Callable[[np.ndarray], float]]], ...] = (
    (rf'mean\+{_NUMBER}std', 'S > mean + {0}·std', lambda v: partial(mean_std, k=v)),
    (rf'minmax{_NUMBER}', '(S − min)/(max − min) > {0}', lambda v: partial(min_max, t=v)),
    (rf'peak{_NUMBER}', 'S > max({0}·max, mean + 0.5·std)', lambda v: partial(peak, share=v)),
)


def get_rule(name: str | ThresholdRule = DEFAULT_RULE) -> ThresholdRule:
    """The rule of that name: ``mean+<k>std``, ``minmax<t>`` or ``peak<share>`` with any number.

    Raises:
        UserError: Not such a name.
    """
    if isinstance(name, ThresholdRule):
        return name
    for pattern, formula, with_value in _FAMILIES:
        found = re.fullmatch(pattern, str(name))
        if found:
            value = found.group(1)
            return ThresholdRule(str(name), formula.format(value), with_value(float(value)))
    raise UserError(
        f'unknown threshold rule {name!r}; expected mean+<k>std, minmax<t> or peak<share>, such as '
        'mean+12std, minmax0.5, peak0.7'
    )
