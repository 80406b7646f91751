"""Targets and predicted components of one image: who is matched, who is missed, what is a false alarm."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from madnet.evaluation.components import Components, near_pairs
from madnet.evaluation.rules import FALSE_ALARMS, MATCHINGS


@dataclass(frozen=True)
class Match:
    """Which predicted component was matched with which true one.

    Attributes:
        pairs: (m, 2) int64, (truth index, prediction index), ascending in truth.
        missed: (k,) int64, truth indices without a partner, ascending.
        false: (f,) int64, prediction indices without a partner, ascending.
        distances: (m,) float64, centroid distance of each pair in pixels.
    """

    pairs: np.ndarray
    missed: np.ndarray
    false: np.ndarray
    distances: np.ndarray


class TargetCounts(NamedTuple):
    """Sums over a set are sums of these: Pd = matched / targets, Fa = false_pixels / pixels of the set."""

    targets: int
    matched: int
    false_components: int
    false_pixels: int


def match_components(
    truth: Components, pred: Components, matching: str = 'one-to-one', radius: float = 3.0
) -> Match:
    """Match predicted components with targets by the distance of their centroids.

    Args:
        truth, pred: Components of the ground truth and of the prediction.
        matching: A key of :data:`~madnet.evaluation.rules.MATCHINGS`.
        radius: Pixels; a pair must be strictly nearer.
    """
    near, distances = near_pairs(truth.centroids, pred.centroids, radius)
    taken = MATCHINGS[matching](near, distances, pred.areas, radius)
    pairs = near[taken]
    missed, false = np.ones(len(truth), bool), np.ones(len(pred), bool)
    missed[pairs[:, 0]] = False
    false[pairs[:, 1]] = False
    return Match(pairs, np.flatnonzero(missed), np.flatnonzero(false), distances[taken])


def count_targets(
    truth: Components, pred: Components, match: Match, false_alarm: str = 'identity'
) -> TargetCounts:
    """Count what was found and what was made up, the latter by a key of ``rules.FALSE_ALARMS``."""
    matched = np.zeros(len(pred), bool)
    matched[match.pairs[:, 1]] = True
    areas = FALSE_ALARMS[false_alarm](pred.areas, matched)
    return TargetCounts(len(truth), len(match.pairs), len(areas), int(areas.sum()))
