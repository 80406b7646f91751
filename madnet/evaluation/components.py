"""Connected components of a binary map, and what pairs of them have in common: the base of Pd and Fa."""

from dataclasses import dataclass

import cv2
import numpy as np

#: Targets whose distances are taken at once: with every prediction in their rows, still some megabytes.
_AT_ONCE = 64


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

    def pixels(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Rows and columns of each component's pixels, (area,) int64 both, by rows."""
        ys, xs = np.nonzero(self.labels)
        order = np.argsort(self.labels[ys, xs], kind='stable')
        ends = np.cumsum(self.areas)[:-1]
        parts = zip(np.split(ys[order], ends), np.split(xs[order], ends), strict=True)
        return list(parts) if len(self) else []


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
        nothing = np.zeros(binary.shape, np.int32)
        return Components(nothing, np.zeros(0, np.int64), np.zeros((0, 2)), np.zeros((0, 4), np.int64))
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


def grown(mask: np.ndarray, radius: int) -> np.ndarray:
    """(H, W) bool: pixels of a mask (H, W) that are not 0, and those within a square of ``radius`` around."""
    side = 2 * radius + 1
    return cv2.dilate((mask != 0).view(np.uint8), np.ones((side, side), np.uint8)) > 0


def run_lengths(ys: np.ndarray, xs: np.ndarray, shape: tuple[int, int]) -> list[int]:
    """COCO's uncompressed run lengths of a mask: zeros and ones by turns, zeros first, by columns.

    Args:
        ys, xs: (n,) rows and columns of its pixels.
        shape: (H, W) of the mask.
    """
    height, width = shape
    places = np.sort(xs.astype(np.int64) * height + ys)
    starts = places[np.diff(places, prepend=-2) > 1]
    ends = places[np.diff(places, append=height * width + 1) > 1] + 1
    counts = np.diff([0, *np.stack([starts, ends], 1).ravel(), height * width]).tolist()
    return counts if counts[-1] else counts[:-1]


def centroid_distances(truth: np.ndarray, pred: np.ndarray) -> np.ndarray:
    """Euclidean distances in pixels between centroids (n, 2) and (m, 2), as (n, m)."""
    distance = np.subtract.outer(truth[:, 0], pred[:, 0]) ** 2
    distance += np.subtract.outer(truth[:, 1], pred[:, 1]) ** 2
    return np.sqrt(distance, out=distance)


def near_pairs(truth: np.ndarray, pred: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of centroids (x, y), (n, 2) and (m, 2), that are nearer than a radius in pixels.

    A map full of specks has tens of thousands of components. Targets are therefore taken a few at a time, and
    compared with the predictions of the same rows of the image only.

    Returns:
        (k, 2) int64, (truth index, prediction index) ascending in truth, then in prediction; and (k,) float64
        distances in pixels, smaller than ``radius``.
    """
    down, pred_down = (np.argsort(centroids[:, 1]) for centroids in (truth, pred))
    rows = pred[pred_down, 1]
    pairs, distances = [np.zeros((0, 2), np.int64)], [np.zeros(0)]
    for start in range(0, len(truth), _AT_ONCE):
        some = down[start : start + _AT_ONCE]
        top, bottom = truth[some[[0, -1]], 1]
        first, last = np.searchsorted(rows, [top - radius - 1, bottom + radius + 1])
        window = pred_down[first:last]
        distance = centroid_distances(truth[some], pred[window])
        t, p = (distance < radius).nonzero()
        pairs.append(np.stack([some[t], window[p]], 1))
        distances.append(distance[t, p])
    joined = np.concatenate(pairs)
    order = np.lexsort(joined.T[::-1])
    return joined[order], np.concatenate(distances)[order]


@dataclass(frozen=True)
class Overlaps:
    """The pairs of components that share pixels."""

    #: (k, 2) int64, (truth index, prediction index), ascending in truth, then in prediction.
    pairs: np.ndarray
    #: (k,) int64, the number that each pair shares.
    pixels: np.ndarray

    def of(self, truth: np.ndarray, pred: np.ndarray) -> np.ndarray:
        """(j,) pixels that these j pairs share; 0 where they do not overlap."""
        known = dict(zip(map(tuple, self.pairs.tolist()), self.pixels.tolist(), strict=True))
        pairs = zip(truth.tolist(), pred.tolist(), strict=True)
        return np.array([known.get(pair, 0) for pair in pairs], np.int64)


def find_overlaps(truth: Components, pred: Components) -> Overlaps:
    """Pixels that components of two maps of equal size share."""
    on_truth = truth.labels > 0
    labels = np.stack([truth.labels[on_truth], pred.labels[on_truth]], 1).astype(np.int64) - 1
    t, p = labels[labels[:, 1] >= 0].T
    keys, pixels = np.unique(t * len(pred) + p, return_counts=True)
    return Overlaps(np.stack(np.divmod(keys, max(len(pred), 1)), 1), pixels)
