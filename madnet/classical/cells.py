"""Cells of d × d pixels: their means, their brightest values, and the eight cells around each."""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from madnet.classical.image import odd_side, odd_sides, pad
from madnet.errors import UserError

#: (row, column) of the eight cells around a cell, clockwise from the upper left: cells i and i + 4 are
#: opposite.
NEIGHBOURS = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))

# Windows partitioned at once: few enough to stay in a core's own cache.
_BLOCK = 1 << 19


def window_sum(image: np.ndarray, d: int) -> np.ndarray:
    """Sums of the d × d windows inside an image, (H, W) → (H − d + 1, W − d + 1); exact for whole numbers."""
    sums = cv2.boxFilter(image, cv2.CV_64F, (d, d), normalize=False, borderType=cv2.BORDER_REPLICATE)
    return sums[d // 2 : image.shape[0] - d // 2, d // 2 : image.shape[1] - d // 2]


def window_mean(image: np.ndarray, d: int) -> np.ndarray:
    """Means of the d × d windows inside an image, (H, W) → (H − d + 1, W − d + 1)."""
    return window_sum(image, d) / d**2


def box_mean(image: np.ndarray, d: int, border: str = 'replicate') -> np.ndarray:
    """Mean of the d × d window around every pixel, (H, W) → (H, W)."""
    return window_mean(pad(image, d // 2, border), d)


def window_differences(
    image: np.ndarray, scales: Sequence[int], outer: int, border: str
) -> Iterator[tuple[int, np.ndarray]]:
    """(d, mean of the d × d cell − mean of the rest of the window of side ``outer``) for every scale d.

    Raises:
        UserError: A side is not odd, or a cell not smaller than the window.
    """
    scales = odd_sides(scales, 'scales')
    outer = odd_side(outer, 'outer')
    if max(scales) >= outer:
        raise UserError(f'scales={scales}: expected sides below outer={outer}')
    wide = window_sum(pad(image, outer // 2, border), outer)
    for d in scales:
        inner = window_sum(pad(image, d // 2, border), d)
        yield d, inner / d**2 - (wide - inner) / (outer**2 - d**2)


def window_top_means(image: np.ndarray, d: int, counts: Sequence[int]) -> list[np.ndarray]:
    """Means of the brightest values of the d × d windows inside an image.

    Args:
        image: (H, W).
        d: Side of the windows; one with fewer values than a count gives the mean of all.
        counts: How many values to average, several at once.

    Returns:
        One map (H − d + 1, W − d + 1) per count.
    """
    size, most = d * d, min(max(counts), d * d)
    windows: np.ndarray = sliding_window_view(image, (d, d))
    result = [np.empty(windows.shape[:2]) for _ in counts]
    # half the bytes, the same values: true for 8-bit images
    narrow = image.astype(np.float32)
    if np.array_equal(narrow, image):
        windows = sliding_window_view(narrow, (d, d))
    rows = max(1, _BLOCK // (windows.shape[1] * size))
    for start in range(0, len(windows), rows):
        block = windows[start : start + rows].reshape(-1, size)
        top = np.partition(block, size - most, axis=1)[:, size - most :] if most < size else block
        if len(counts) > 1:
            top = np.sort(top, axis=1)
        for out, count in zip(result, counts, strict=True):
            count = min(count, size)
            mean = top[:, most - count :].sum(axis=1, dtype=np.float64) / count
            out[start : start + rows] = mean.reshape(-1, windows.shape[1])
    return result


def cell_grid(image: np.ndarray, d: int, border: str = 'replicate') -> list[np.ndarray]:
    """Means of the 3 × 3 grid of d × d cells (d odd) whose centre cell lies on every pixel of an image: nine
    maps (H, W), of the centre, then of the cells around it in the order of :data:`NEIGHBOURS`."""
    return shifted(window_mean(pad(image, d + d // 2, border), d), d, image.shape)


def shifted(values: np.ndarray, d: int, shape: tuple[int, int]) -> list[np.ndarray]:
    """Nine views (H, W) of a map (H + 2d, W + 2d): displaced by (0, 0), then by d times the neighbours."""
    height, width = shape
    return [
        values[d + d * y : d + d * y + height, d + d * x : d + d * x + width]
        for y, x in ((0, 0), *NEIGHBOURS)
    ]


def highest(maps: Sequence[np.ndarray]) -> np.ndarray:
    """Pixel-wise maximum of several maps, a new array."""
    result = maps[0].copy()
    for values in maps[1:]:
        np.maximum(result, values, out=result)
    return result


def divide(numerator: np.ndarray, denominator: np.ndarray, eps: float) -> np.ndarray:
    """``numerator / (denominator + eps)``, and 0 where that denominator is 0."""
    denominator = denominator + eps
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator != 0)
