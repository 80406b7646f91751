"""Hierarchical IoU and its error analysis, after "Rethinking Evaluation of Infrared Small Target Detection"
(NeurIPS 2025 Datasets and Benchmarks, arXiv 2509.16888)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from madnet.evaluation.components import Components, assignment, centroid_distances, overlap_matrix
from madnet.evaluation.pixel import ratio


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


def hierarchy_counts(
    truth: Components, pred: Components, overlap_threshold: float = 0.5, radius: float = 3.0
) -> HierarchyCounts:
    """Match with overlap priority and distance compensation, and sort every error by its cause.

    First the assignment of least total centroid distance keeps its pairs with IoU ≥ ``overlap_threshold``;
    then the components left over are assigned again, keeping pairs nearer than ``radius`` pixels.

    An image without targets or without predictions has none that could stay unmatched. (The authors' package
    counts one phantom component for the empty side there, which is not followed.)
    """
    n, m = len(truth), len(pred)
    if not n or not m:
        return HierarchyCounts(0, m, n, 0, 0, 0, 0, m, n, 0, 0)
    distance = centroid_distances(truth.centroids, pred.centroids)
    overlap = overlap_matrix(truth, pred)
    union = truth.areas[:, None] + pred.areas[None] - overlap
    iou = overlap / union
    by_overlap, by_distance = iou >= overlap_threshold, distance < radius

    matched = _assign(distance, by_overlap)
    rows, cols = np.flatnonzero(~matched.any(1)), np.flatnonzero(~matched.any(0))
    if len(rows) and len(cols):
        rest = np.ix_(rows, cols)
        matched[rest] = _assign(distance[rest], by_distance[rest])

    t, p = np.nonzero(matched)
    pair_union, hit = union[t, p], overlap[t, p]
    on_any_target = overlap.sum(0)[p]
    candidate = by_overlap | by_distance
    unmatched_pred, unmatched_truth = m - len(p), n - len(t)
    alone_pred, alone_truth = int((~candidate.any(0)).sum()), int((~candidate.any(1)).sum())
    return HierarchyCounts(
        matched=len(t),
        unmatched_pred=unmatched_pred,
        unmatched_truth=unmatched_truth,
        iou=float(iou[t, p].sum()),
        seg_merging=float(((on_any_target - hit) / pair_union).sum()),
        seg_interference=float(((pred.areas[p] - on_any_target) / pair_union).sum()),
        seg_perception=float(((truth.areas[t] - hit) / pair_union).sum()),
        loc_interference=alone_pred,
        loc_perception=alone_truth,
        loc_merged=unmatched_pred - alone_pred,
        loc_split=unmatched_truth - alone_truth,
    )


def _assign(distance: np.ndarray, valid: np.ndarray) -> np.ndarray:
    chosen = np.zeros(distance.shape, bool)
    chosen[assignment(distance)] = True
    return chosen & valid


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
