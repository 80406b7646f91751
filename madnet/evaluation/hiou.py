"""Hierarchical IoU and its error analysis, after "Rethinking Evaluation of Infrared Small Target Detection"
(NeurIPS 2025 Datasets and Benchmarks, arXiv 2509.16888)."""

from typing import NamedTuple

import numpy as np

from madnet.errors import UserError
from madnet.evaluation.components import Components, centroid_distances, find_overlaps, near_pairs
from madnet.evaluation.pixel import ratio

#: hIoU looks at every pair of a target and a prediction; this many take 0.8 GB and half a minute.
MOST_PAIRS = 100_000_000
_ALIKE = 0.5  # least IoU of a pair that is matched whatever its distance


class HierarchyCounts(NamedTuple):
    """Sums of one image; a set's are the sums of these.

    The first three count components; ``iou`` and the ``seg_*`` are sums over matched pairs of a share of the
    pair's union; the ``loc_*`` count components by the reason why they stayed unmatched.
    """

    matched: float
    unmatched_pred: float
    unmatched_truth: float
    iou: float
    seg_merging: float
    seg_interference: float
    seg_perception: float
    loc_interference: float
    loc_perception: float
    loc_merged: float
    loc_split: float


def hierarchy_counts(truth: Components, pred: Components, radius: float = 3.0) -> HierarchyCounts:
    """Match with overlap priority and distance compensation, and sort every error by its cause.

    First the assignment of least total centroid distance keeps its pairs with IoU ≥ 0.5;
    then the components left over are assigned again, keeping pairs nearer than ``radius`` pixels.

    An image without targets or without predictions has none that could stay unmatched. (The authors' package
    counts one phantom component for the empty side there, which is not followed.)

    Raises:
        UserError: More than :data:`MOST_PAIRS` pairs.
    """
    n, m = len(truth), len(pred)
    if not n or not m:
        return HierarchyCounts(0, m, n, 0, 0, 0, 0, m, n, 0, 0)
    overlaps = find_overlaps(truth, pred)
    on_any_target = np.bincount(overlaps.pairs[:, 1], overlaps.pixels, minlength=m)

    def union(t: np.ndarray, p: np.ndarray) -> np.ndarray:
        return truth.areas[t] + pred.areas[p] - overlaps.of(t, p)

    t, p = _assign(truth.centroids, pred.centroids)
    alike = overlaps.of(t, p) / union(t, p) >= _ALIKE
    t, p = t[alike], p[alike]
    rows, columns = np.setdiff1d(np.arange(n), t), np.setdiff1d(np.arange(m), p)
    if len(rows) and len(columns):
        left, right = _assign(truth.centroids[rows], pred.centroids[columns], radius)
        t, p = np.concatenate([t, rows[left]]), np.concatenate([p, columns[right]])
    order = np.argsort(t)
    t, p = t[order], p[order]

    hit, pair_union = overlaps.of(t, p), union(t, p)
    on_any_target = on_any_target[p]
    near, _ = near_pairs(truth.centroids, pred.centroids, radius)
    alike = overlaps.pixels / union(*overlaps.pairs.T) >= _ALIKE
    candidates = np.concatenate([near, overlaps.pairs[alike]])
    alone_truth, alone_pred = n - len(np.unique(candidates[:, 0])), m - len(np.unique(candidates[:, 1]))
    unmatched_pred, unmatched_truth = m - len(p), n - len(t)
    return HierarchyCounts(
        matched=len(t),
        unmatched_pred=unmatched_pred,
        unmatched_truth=unmatched_truth,
        iou=float((hit / pair_union).sum()),
        seg_merging=float(((on_any_target - hit) / pair_union).sum()),
        seg_interference=float(((pred.areas[p] - on_any_target) / pair_union).sum()),
        seg_perception=float(((truth.areas[t] - hit) / pair_union).sum()),
        loc_interference=alone_pred,
        loc_perception=alone_truth,
        loc_merged=unmatched_pred - alone_pred,
        loc_split=unmatched_truth - alone_truth,
    )


def _assign(truth: np.ndarray, pred: np.ndarray, radius: float = np.inf) -> tuple[np.ndarray, np.ndarray]:
    """(truth, prediction) indices of the assignment of least total distance between centroids (n, 2) and
    (m, 2); only its pairs nearer than ``radius``."""
    from scipy.optimize import linear_sum_assignment

    if len(truth) * len(pred) > MOST_PAIRS:
        raise UserError(
            f'{len(truth)} targets and {len(pred)} predicted components: too many for hIoU, which '
            f'compares every pair ({MOST_PAIRS:,} pairs at most). Are the masks and scores right? A protocol '
            'without hIoU, such as dnanet, counts them.'
        )
    distance = centroid_distances(truth, pred)
    t, p = linear_sum_assignment(distance)
    near = distance[t, p] < radius
    return t[near], p[near]


def hierarchical_iou(counts: HierarchyCounts) -> dict[str, float]:
    """hIoU and what it is made of, from the sums over a set.

    Returns:
        ``hIoU`` = ``seg_IoU`` · ``loc_IoU``: mean IoU of the matched pairs, times matched / (matched +
        unmatched predictions + unmatched targets). ``seg_IoU`` and the three ``seg_*_error`` sum to 1, and so
        do ``loc_IoU`` and the four ``loc_*_error``:

        * ``seg_merging_error``: prediction that lies on another target,
        * ``seg_interference_error``: prediction on background,
        * ``seg_perception_error``: target pixels that were not predicted,
        * ``loc_interference_error``: predictions near no target,
        * ``loc_perception_error``: targets near no prediction,
        * ``loc_m2s_error``: predictions left over because their target has another,
        * ``loc_s2m_error``: targets left over because their prediction has another.

        NaN where nothing is matched (``seg_*``) or nothing exists (``loc_*``).
    """
    everything = counts.matched + counts.unmatched_pred + counts.unmatched_truth
    seg = ratio(counts.iou, counts.matched)
    loc = ratio(counts.matched, everything)
    return {
        'hIoU': ratio(counts.iou, everything),
        'seg_IoU': seg,
        'seg_merging_error': ratio(counts.seg_merging, counts.matched),
        'seg_interference_error': ratio(counts.seg_interference, counts.matched),
        'seg_perception_error': ratio(counts.seg_perception, counts.matched),
        'loc_IoU': loc,
        'loc_interference_error': ratio(counts.loc_interference, everything),
        'loc_perception_error': ratio(counts.loc_perception, everything),
        'loc_m2s_error': ratio(counts.loc_merged, everything),
        'loc_s2m_error': ratio(counts.loc_split, everything),
    }
