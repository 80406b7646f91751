"""Curves over all thresholds from one joint histogram per set, and the Pd-Fa curve on a stated grid."""

from __future__ import annotations

from math import nan

import numpy as np

from madnet.evaluation.components import Components, find_components, near_pairs
from madnet.evaluation.rules import MATCHINGS

# A bin holds the float32 probabilities that share sign, exponent and 9 bits of mantissa, and above 0.5 those
# whose complement does. Networks push background towards 0 and targets towards 1, where equal steps of
# probability would put nearly all pixels in one bin; these are fine to 0.2 % of p or of 1 − p, whichever is
# smaller, and still keep every level of an 8-bit map apart.
_DROPPED_BITS = 14
_SMALLEST = np.float32(2.0**-32)
_FIRST = int(_SMALLEST.view(np.int32)) >> _DROPPED_BITS
_HALF = (int(np.float32(0.5).view(np.int32)) >> _DROPPED_BITS) - _FIRST
#: Bins of a score histogram; they rise with the probability.
BINS = 2 * _HALF + 1


def _bin_thresholds() -> np.ndarray:
    edges = (np.arange(_FIRST, _FIRST + _HALF + 1, dtype=np.int32) << _DROPPED_BITS).view(np.float32)
    below = np.nextafter(edges, np.float32(-1))
    below[0] = -1
    # A float32 probability above 1 − 2^-25 can only be 1.
    above = np.minimum(1 - edges[:0:-1].astype(np.float64), np.nextafter(np.float32(1), np.float32(0)))
    exact = np.concatenate([below, above])
    # rounded down to what float32 holds: a probability, compared in float32, exceeds both or neither
    held = exact.astype(np.float32)
    return np.where(held > exact, np.nextafter(held, np.float32(-1)), held).astype(np.float64)


#: (BINS,) thresholds, as float32 holds them: a probability lies in bin k or above exactly where it is greater
#: than ``THRESHOLDS[k]``.
THRESHOLDS = _bin_thresholds()

#: Thresholds of the Pd-Fa curve: steps of 0.025, and one nearer to each end.
PD_FA_THRESHOLDS = (0.01, *(k / 40 for k in range(1, 40)), 0.99)
#: Thresholds of the ROC counter of the published ABC code.
ELEVEN_THRESHOLDS = tuple(k / 10 for k in range(11))


def _bin_middles() -> np.ndarray:
    """(BINS,) the probability that stands for each bin; those of the lowest bin count as 0."""
    upper = np.append(THRESHOLDS[1:].astype(np.float64), 1.0)
    middles = (np.maximum(THRESHOLDS, 0) + upper) / 2
    middles[0], middles[-1] = 0, 1
    return middles


def score_bins(prob: np.ndarray) -> np.ndarray:
    """The bin of every probability: (H, W) float32 in 0–1 → (H, W) int32 in 0..BINS−1."""
    bins = _steps(prob)
    high = np.flatnonzero(prob > 0.5)
    bins.ravel()[high] = BINS - 1 - _steps(1 - prob.ravel()[high])
    return bins


def _steps(prob: np.ndarray) -> np.ndarray:
    """Bins of probabilities up to 0.5: their leading bits, which rise with the number."""
    bins = np.ascontiguousarray(prob).view(np.int32) >> _DROPPED_BITS
    bins -= _FIRST
    return np.maximum(bins, 0, out=bins)


class ScoreHistogram:
    """How many pixels, and how many of them true, have which score: all that ROC, PR and best threshold need.

    Memory is 2 · BINS counters whatever the number of images. Results are exact for the scores rounded to
    their bins (:data:`THRESHOLDS`).
    """

    def __init__(self):
        self.total = np.zeros(BINS, np.int64)
        self.positive = np.zeros(BINS, np.int64)

    @staticmethod
    def count(bins: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One image's share: (indices, pixels, true pixels) of the bins it touches, from its bins (H, W), see
        :func:`score_bins`, and its truth (H, W) bool."""
        total = np.bincount(bins.ravel(), minlength=BINS)
        index = np.flatnonzero(total)
        return index, total[index], np.bincount(bins[truth], minlength=BINS)[index]

    def add(self, share: tuple[np.ndarray, np.ndarray, np.ndarray], sign: int = 1) -> None:
        """Add one image's share, or take it away again with ``sign=-1``."""
        index, total, positive = share
        self.total[index] += sign * total
        self.positive[index] += sign * positive

    def merge(self, other: ScoreHistogram) -> None:
        """Add what another histogram has counted."""
        self.total += other.total
        self.positive += other.positive

    def _descending(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(thresholds, tp, fp) at every bin that is not empty, from strict to lenient."""
        index = np.flatnonzero(self.total)[::-1]
        tp = np.cumsum(self.positive[index])
        return THRESHOLDS[index], tp, np.cumsum(self.total[index]) - tp

    def roc(self) -> dict[str, np.ndarray]:
        """``threshold``, ``fpr``, ``tpr``, from (0, 0) to (1, 1); empty without both classes."""
        thresholds, tp, fp = self._descending()
        if not len(tp) or not tp[-1] or not fp[-1]:
            return {'threshold': np.zeros(0), 'fpr': np.zeros(0), 'tpr': np.zeros(0)}
        return {
            'threshold': np.concatenate([[1.0], thresholds]),
            'fpr': np.concatenate([[0.0], fp / fp[-1]]),
            'tpr': np.concatenate([[0.0], tp / tp[-1]]),
        }

    def auc(self) -> float:
        """Area under the ROC curve, ties counted half (Mann-Whitney); NaN without both classes."""
        roc = self.roc()
        if not len(roc['fpr']):
            return nan
        return float((np.diff(roc['fpr']) * (roc['tpr'][1:] + roc['tpr'][:-1]) / 2).sum())

    def roc_3d(self) -> dict[str, float]:
        """The areas of the 3-D ROC curve (detection and false alarm over threshold) and what is made of them.

        C.-I. Chang, "An effective evaluation tool for hyperspectral target detection: 3D receiver operating
        characteristic curve analysis", IEEE TGRS 59 (2021). The area of a rate over the threshold is the mean
        score of those pixels.

        Returns:
            ``AUC(D,F)``, the ROC curve's; ``AUC(D,tau)``, high where targets score high; ``AUC(F,tau)``, low
            where the background scores low; and by them ``AUC_TD``, ``AUC_BS``, ``AUC_TDBS``, ``AUC_ODP``,
            ``AUC_OD`` and ``AUC_SNPR``. NaN without both classes.
        """
        area, middles = self.auc(), _bin_middles()
        background = self.total - self.positive
        with np.errstate(invalid='ignore'):
            detected, false = (float(n @ middles / n.sum()) for n in (self.positive, background))
        return {
            'AUC(D,F)': area,
            'AUC(D,tau)': detected,
            'AUC(F,tau)': false,
            'AUC_TD': area + detected,
            'AUC_BS': area - false,
            'AUC_TDBS': detected - false,
            'AUC_ODP': detected + 1 - false,
            'AUC_OD': area + detected - false,
            'AUC_SNPR': detected / false if false else nan,
        }

    def lost_order(self) -> dict[str, tuple[float, float]]:
        """The least and the greatest ``AUC`` and ``AP`` by scores that rank the pixels of the lowest bin in
        use one by one: NaN without both classes. Whole numbers round most pixels of a sharp map to 0."""
        _, tp, fp = self._descending()
        if not len(tp) or not tp[-1] or not fp[-1]:
            return {'AUC': (nan, nan), 'AP': (nan, nan)}
        hits, false = (int(tp[-2]), int(fp[-2])) if len(tp) > 1 else (0, 0)  # above the lowest bin
        all_hits, all_false = int(tp[-1]), int(fp[-1])
        half = (all_hits - hits) * (all_false - false) / (2 * all_hits * all_false)
        found = np.arange(hits + 1, all_hits + 1)
        # what the bins above add, and the targets of the lowest behind or before all its background
        above = self.ap() - (all_hits - hits) / (all_hits + all_false)
        least, most = (above + float((found / (found + f)).sum()) / all_hits for f in (all_false, false))
        return {'AUC': (self.auc() - half, self.auc() + half), 'AP': (least, most)}

    def pr(self) -> dict[str, np.ndarray]:
        """``threshold``, ``recall``, ``precision`` with rising recall; empty without true pixels."""
        thresholds, tp, fp = self._descending()
        if not len(tp) or not tp[-1]:
            return {'threshold': np.zeros(0), 'recall': np.zeros(0), 'precision': np.zeros(0)}
        return {'threshold': thresholds, 'recall': tp / tp[-1], 'precision': tp / (tp + fp)}

    def ap(self) -> float:
        """Average precision Σ (R_k − R_{k−1}) P_k, without interpolation; NaN without true pixels."""
        pr = self.pr()
        if not len(pr['recall']):
            return nan
        return float((np.diff(pr['recall'], prepend=0) * pr['precision']).sum())

    def best_threshold(self) -> tuple[float, float]:
        """The threshold of the best set-level IoU, the strictest of equals, and that IoU: choose it on a
        validation set, use it on test. (0.5, NaN) without true pixels."""
        thresholds, tp, fp = self._descending()
        if not len(tp) or not tp[-1]:
            return 0.5, nan
        iou = tp / (tp[-1] + fp)
        best = int(iou.argmax())
        return float(max(thresholds[best], 0.0)), float(iou[best])


def thin(curve: dict[str, np.ndarray], along: str, points: int = 200) -> dict[str, list[float]]:
    """At most about ``points`` points of a curve, for a file or a figure.

    Half are spread evenly along the values of ``along``, half over their ranks, so that neither the steep nor
    the flat part of a ROC curve is lost; the ends stay.
    """
    values = curve[along]
    n = len(values)
    if n > points:
        by_rank = np.linspace(0, n - 1, points // 2).round().astype(int)
        by_value = np.searchsorted(values, np.linspace(values[0], values[-1], points // 2)).clip(0, n - 1)
        keep = np.union1d(by_rank, by_value)
        curve = {name: column[keep] for name, column in curve.items()}
    return {name: column.tolist() for name, column in curve.items()}


def pd_fa_counts(
    prob: np.ndarray,
    truth: Components,
    thresholds: tuple[float, ...] = PD_FA_THRESHOLDS,
    matching: str = 'one-to-one',
    radius: float = 3.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Matched targets and false-alarm pixels of one image at every threshold, exact at each.

    False-alarm pixels are all predicted ones less those of matched components, so only components that could
    match matter: those whose box comes near a target. What exceeds a threshold lies inside what exceeded the
    one before; hence each labelling looks only at the window of the former candidates, soon a small one. (A
    component tree would serve any number of thresholds, but centroids and matching would still be redone at
    each.)

    Args:
        prob: (H, W) float32 in 0–1.
        truth: Targets.
        thresholds: Rising, 0 or more.
        matching, radius: As in :func:`~madnet.evaluation.matching.match_components`.

    Returns:
        (matched, false_pixels), each (len(thresholds),) int64.
    """
    predicted, above = np.zeros(len(thresholds), np.int64), prob
    for k, threshold in enumerate(thresholds):
        above = above[above > threshold]
        predicted[k] = len(above)
    matched, hit_pixels = np.zeros_like(predicted), np.zeros_like(predicted)
    targets = truth.centroids
    for k, threshold in enumerate(thresholds):
        if k and predicted[k] == predicted[k - 1]:
            matched[k], hit_pixels[k] = matched[k - 1], hit_pixels[k - 1]
            continue
        pred = find_components(prob > threshold, raster_order=matching == 'greedy')
        near = _near_a_target(pred.boxes, targets, radius)
        if not near.any():
            break
        areas, boxes = pred.areas[near], pred.boxes[near]
        pairs, distances = near_pairs(targets, pred.centroids[near], radius)
        taken = MATCHINGS[matching](pairs, distances, areas, radius)
        matched[k], hit_pixels[k] = len(taken), areas[pairs[taken, 1]].sum()
        (x0, y0), (x1, y1) = boxes[:, :2].min(0), boxes[:, 2:].max(0)
        # The window may cut other components, but their parts come no nearer to a target than they did.
        prob, targets = prob[y0:y1, x0:x1], targets - (x0, y0)
    return matched, predicted - hit_pixels


def _near_a_target(boxes: np.ndarray, targets: np.ndarray, radius: float) -> np.ndarray:
    """(n,) bool: whether a component of that box, or a part of it, may have its centroid near a target's."""
    x0, y0, x1, y1 = boxes.T
    near = np.zeros(len(boxes), bool)
    for x, y in targets:
        near |= (x0 < x + radius) & (x1 > x - radius + 1) & (y0 < y + radius) & (y1 > y - radius + 1)
    return near


def eleven_counts(prob: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Counts of the ROC counter of the published ABC code at its eleven thresholds 0, 0.1 … 1.

    Grey mask values other than 0 and 255 are neither class: a false positive where predicted, a positive
    where not. Probabilities (H, W) float32 and a mask (H, W) uint8 give (4, 11) int64: true positives, false
    positives, positives, negatives.
    """
    thresholds = np.array(ELEVEN_THRESHOLDS, np.float32)
    levels = len(thresholds) + 1
    level = (prob > 0).astype(np.int64)  # how many thresholds a probability exceeds
    above = prob > thresholds[1]
    level[above] = np.searchsorted(thresholds, prob[above])
    kind = (mask > 0).view(np.int8) + (mask == 255).view(np.int8)
    counts = np.bincount((kind * np.int64(levels) + level).ravel(), minlength=3 * levels).reshape(3, levels)
    predicted = counts[:, ::-1].cumsum(1)[:, ::-1][:, 1:]
    rest = counts.sum(1, keepdims=True) - predicted
    tp, fp = predicted[2], predicted[0] + predicted[1]
    return np.stack([tp, fp, tp + rest[1] + rest[2], fp + rest[0]])
