"""Connected components of a binary map, and their matching by centroid distance: the base of Pd and Fa."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

# Below any difference of two real centroid distances, above what float64 rounding does to one.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Components:
    """The 8-connected components of one binary map.

    Attributes:
        labels: (H, W) int32; 0 is background, component ``i`` carries ``i + 1``.
        areas: (n,) int64, pixels.
        centroids: (n, 2) float64, (x, y) in pixels; the centre of the top-left pixel is (0, 0).
        boxes: (n, 4) int64, (x0, y0, x1, y1) in pixels, half-open.
    """

    labels: np.ndarray
    areas: np.ndarray
    centroids: np.ndarray
    boxes: np.ndarray

    def __len__(self) -> int:
        return len(self.areas)


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


def find_components(binary: np.ndarray, raster_order: bool = True) -> Components:
    """Label a binary map with 8-connectivity.

    Args:
        binary: (H, W) bool or number; foreground where not 0.
        raster_order: Whether components are put in the order of their first pixels, as SciPy and scikit-image
            number them, which decides the outcome of greedy matching. Else they stay in the order of OpenCV's
            block scan and ``labels`` may be uint16, which is cheaper.
    """
    binary = np.ascontiguousarray(binary if binary.dtype == bool else binary != 0).view(np.uint8)
    x, y, w, h = cv2.boundingRect(binary)
    if w == 0:
        labels = np.zeros(binary.shape, np.int32)
        return Components(labels, np.zeros(0, np.int64), np.zeros((0, 2)), np.zeros((0, 4), np.int64))
    # Targets fill a small part of an image: only the part around the foreground is labelled.
    crop = binary[y : y + h, x : x + w]
    # 2 × 2 pixels hold one component at most; halving the memory of the labels nearly halves the time.
    small = ((w + 1) // 2) * ((h + 1) // 2) < 2**16
    count, part, stats, centroids = cv2.connectedComponentsWithStats(
        crop, connectivity=8, ltype=cv2.CV_16U if small else cv2.CV_32S
    )
    stats, centroids = stats[1:].astype(np.int64), np.add(centroids[1:], (x, y))
    if raster_order and count > 2:
        order = _raster_order(part, count)
        if (np.diff(order) != 1).any():
            rank = np.zeros(count, np.int32)
            rank[order + 1] = np.arange(1, count)
            part, stats, centroids = rank[part], stats[order], centroids[order]
    if part.shape == binary.shape:
        labels = part.astype(np.int32, copy=False) if raster_order else part
    else:
        labels = np.zeros(binary.shape, np.int32 if raster_order else part.dtype)
        labels[y : y + h, x : x + w] = part
    boxes, areas = stats[:, :4], stats[:, cv2.CC_STAT_AREA]  # left, top, width, height
    boxes[:, :2] += (x, y)
    boxes[:, 2:] += boxes[:, :2]
    return Components(labels, areas, centroids, boxes)


def _raster_order(labels: np.ndarray, count: int) -> np.ndarray:
    flat = labels.ravel()
    where = np.flatnonzero(flat)[::-1]
    first = np.zeros(count, np.int64)
    first[flat[where]] = where  # of repeated indices the last one written stays: the first pixel
    return np.argsort(first[1:])


def match_one_to_one(truth: Components, pred: Components, radius: float = 3.0) -> Match:
    """Match components one to one: as many pairs as possible, then the least sum of centroid distances.

    Args:
        truth: Components of the ground truth.
        pred: Components of the prediction.
        radius: Pixels; a pair must be strictly nearer.

    Returns:
        The match. Where two assignments are equally near, the one that uses the larger predicted component is
        taken, so that the outcome does not hang on the orientation of the image.
    """
    distance = centroid_distances(truth.centroids, pred.centroids)
    return _as_match(distance, pairs_one_to_one(distance, pred.areas, radius))


def match_greedy(truth: Components, pred: Components, radius: float = 3.0) -> Match:
    """Match as the published ABC, DNANet and BasicIRSTD code does.

    Each target in raster order takes the *first* predicted component still free whose centroid is nearer than
    ``radius`` pixels (strict), not the nearest one. The count of matches can therefore fall short of the best
    possible, and depends on the orientation of the image.
    """
    distance = centroid_distances(truth.centroids, pred.centroids)
    return _as_match(distance, pairs_greedy(distance, pred.areas, radius))


def pairs_one_to_one(distance: np.ndarray, areas: np.ndarray, radius: float) -> np.ndarray:
    """(m, 2) pairs of :func:`match_one_to_one`, given (targets, predictions) distances and areas."""
    near = distance < radius - _ROUNDING
    # Most images have one target, and hardly any a choice between partners.
    if np.count_nonzero(near) <= 1 or (near.sum(0).max() <= 1 and near.sum(1).max() <= 1):
        return np.stack(near.nonzero(), 1)
    rows, cols = np.flatnonzero(near.any(1)), np.flatnonzero(near.any(0))
    near, part = near[np.ix_(rows, cols)], distance[np.ix_(rows, cols)]
    tie_break = 1e-7 * areas[cols] / areas[cols].max()
    forbidden = (radius + 1) * (min(near.shape) + 1)
    t, p = assignment(np.where(near, part - tie_break, forbidden))
    return np.stack([rows[t], cols[p]], 1)[near[t, p]]


def pairs_greedy(distance: np.ndarray, areas: np.ndarray, radius: float) -> np.ndarray:
    """(m, 2) pairs of :func:`match_greedy`, given (targets, predictions) distances; areas do not matter."""
    near = distance < radius
    free = np.ones(near.shape[1], bool)
    pairs = []
    for t in np.flatnonzero(near.any(1)):
        candidates = np.flatnonzero(near[t] & free)
        if len(candidates):
            free[candidates[0]] = False
            pairs.append((t, candidates[0]))
    return np.array(pairs, np.int64).reshape(-1, 2)


def assignment(cost: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(rows, columns) of the assignment of least total cost, given (n, m) costs."""
    # Importing SciPy takes longer than all else that is imported here, and few images leave a choice.
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment(cost)


def centroid_distances(truth: np.ndarray, pred: np.ndarray) -> np.ndarray:
    """Euclidean distances in pixels between centroids (n, 2) and (m, 2), as (n, m)."""
    difference = truth[:, None] - pred[None]
    return np.sqrt((difference**2).sum(-1))


def overlap_matrix(truth: Components, pred: Components) -> np.ndarray:
    """Pixels that each pair of components shares, (targets, predictions) int64."""
    overlap = np.zeros((len(truth), len(pred)), np.int64)
    for i, (x0, y0, x1, y1) in enumerate(truth.boxes):
        window = slice(y0, y1), slice(x0, x1)
        below = pred.labels[window][truth.labels[window] == i + 1]
        overlap[i] = np.bincount(below, minlength=len(pred) + 1)[1:]
    return overlap


def _as_match(distance: np.ndarray, pairs: np.ndarray) -> Match:
    missed, false = (np.ones(n, bool) for n in distance.shape)
    missed[pairs[:, 0]] = False
    false[pairs[:, 1]] = False
    return Match(pairs, np.flatnonzero(missed), np.flatnonzero(false), distance[pairs[:, 0], pairs[:, 1]])
