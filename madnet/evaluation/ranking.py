"""Detections in order: Pd against Fa over the whole range of their scores, and where to cut for a budget."""

from math import nan

import numpy as np

#: Budgets of false-alarm pixels, over all pixels, that tables quote.
BUDGETS = (1e-4, 1e-5, 1e-6)
#: In place of infinity (ranks in surroundings without noise), which is the threshold that none keeps.
HIGHEST = float(np.finfo(np.float32).max)


def ranked_curve(
    scores: np.ndarray, areas: np.ndarray, hits: np.ndarray, targets: int, pixels: int
) -> dict[str, np.ndarray]:
    """Pd and Fa of the detections above each score, from none of them to all.

    Detections are the components at the protocol's own threshold; what is cut off is whole ones, so that the
    shape of those that stay does not change. A threshold on the score map instead shrinks all of them, and
    leaves most false alarms of a sure network there: it has a dot where this has a curve.

    Args:
        scores: (n,) of the detections, on any scale; those above :data:`HIGHEST` count as that.
        areas: (n,) pixels.
        hits: (n,) bool: matched with a target.
        targets: Of the set.
        pixels: Of the set.

    Returns:
        ``threshold`` (detections with a score of that or more are kept; begins with infinity, for none),
        ``Pd`` and ``Fa``, as fractions, both rising. Pd is NaN without targets.
    """
    order = np.argsort(-np.asarray(scores, np.float64), kind='stable')
    scores, hits = np.minimum(np.asarray(scores, np.float64)[order], HIGHEST), np.asarray(hits, bool)[order]
    found = np.cumsum(hits)
    false = np.cumsum(np.where(hits, 0, np.asarray(areas)[order]))
    last = np.append(scores[1:] != scores[:-1], True)[: len(scores)]  # of detections with one score
    with np.errstate(divide='ignore', invalid='ignore'):
        return {
            'threshold': np.concatenate([[np.inf], scores[last]]),
            'Pd': np.concatenate([[0], found[last]]) / np.float64(targets),
            'Fa': np.concatenate([[0], false[last]]) / np.float64(pixels),
        }


def within_budget(curve: dict[str, np.ndarray], budget: float) -> dict[str, float]:
    """The point of a :func:`ranked_curve` with the highest Pd at ``Fa <= budget``: all three of its numbers,
    by name. There always is one: no detection has no false alarm."""
    k = int(np.searchsorted(curve['Fa'], budget, side='right')) - 1
    return {name: float(values[k]) for name, values in curve.items()}


def cut_for_budget(curve: dict[str, np.ndarray], budget: float) -> float:
    """The score from which detections are kept for :func:`within_budget`: in the middle between the last one
    that is kept and the first that is not, so that other images, which score a little lower, are served
    alike; just above the latter where those kept are without a bound. 0 where all are kept, infinity where
    none is."""
    k = int(np.searchsorted(curve['Fa'], budget, side='right')) - 1
    kept = float(curve['threshold'][k])
    if not np.isfinite(kept):
        return kept
    if k + 1 == len(curve['Fa']):
        return 0.0
    out = float(curve['threshold'][k + 1])
    return float(np.nextafter(np.float32(out), np.float32(HIGHEST))) if kept >= HIGHEST else (kept + out) / 2


def cut_for_alarms(scores: np.ndarray, frames: int, per_frame: float) -> float:
    """The score (−infinity where all may be kept) above which detections on frames without targets, whose
    scores (n,) are given, come no more often than ``per_frame`` on average."""
    allowed = int(per_frame * frames + 1e-9)
    falling = np.sort(np.asarray(scores, np.float64))[::-1]
    return float(falling[allowed]) if len(falling) > allowed else -np.inf


def separation(scores: np.ndarray, hits: np.ndarray) -> float:
    """How well a score tells hits from false alarms: the share of pairs of one each in which the hit's is
    higher, ties counted half (AUC, Mann-Whitney); NaN without both."""
    scores, hits = np.asarray(scores, np.float64), np.asarray(hits, bool)
    n = int(hits.sum())
    if n in (0, len(hits)):
        return nan
    _, group, counts = np.unique(scores, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts - 1) / 2  # mean rank, from 1, of each group of ties
    return float((middle[group][hits].sum() - n * (n + 1) / 2) / (n * (len(hits) - n)))
