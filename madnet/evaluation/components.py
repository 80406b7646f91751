"""Connected components of a binary map, and what pairs of them have in common: the base of Pd and Fa."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np


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
