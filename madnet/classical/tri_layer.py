"""Local contrast with a smoothed core against the brightest values of the cells around: TLLCM, WSLCM."""

from collections.abc import Sequence

import cv2
import numpy as np

from madnet.classical.cells import cell_grid, divide, highest, shifted, window_top_means
from madnet.classical.image import EPS, as_grey, odd_sides, pad


def tllcm(
    image: np.ndarray,
    scales: Sequence[int] = (5, 7, 9),
    count: int = 9,
    border: str = 'replicate',
    eps: float = EPS,
) -> np.ndarray:
    """Local contrast with a tri-layer window: core, reserve and surround.

    Han, Moradi, Faramarzi, Liu, Zhang, Zhao, "A local contrast method for infrared small-target detection
    utilizing a tri-layer window", IEEE GRSL 17(10), 2020.

    Args:
        image, scales, eps: See :mod:`madnet.classical`.
        count: How many of a cell's brightest values are averaged.
        border: Of the cells; published code pads with zeros.

    Returns:
        (H, W) float64, ≥ 0, in grey levels.
    """
    grey = as_grey(image)
    core = _core(grey)
    score = np.zeros_like(grey)
    for d in odd_sides(scales, 'scales'):
        (top,) = window_top_means(pad(grey, d + d // 2, border), d, [count])
        _, *around = shifted(top, d, grey.shape)
        np.maximum(score, divide(core**2, highest(around), eps) - core, out=score)
    return score


def wslcm(
    image: np.ndarray,
    scales: Sequence[int] = (5, 7, 9, 11),
    count: int = 9,
    median: bool = True,
    border: str = 'replicate',
    eps: float = EPS,
    least_spread: float = 5.0,
) -> np.ndarray:
    """Weighted strengthened local contrast measure.

    Han, Moradi, Faramarzi, Zhang, Zhao, Zhang, Li, "Infrared small target detection based on the weighted
    strengthened local contrast measure", IEEE GRSL 18(9), 2021: the contrast of :func:`tllcm`, weighted by
    how much the cell's regional intensity level (brightest values over the mean) exceeds its neighbours'.

    Args:
        image, scales, eps: See :mod:`madnet.classical`.
        count: How many of a cell's brightest values are averaged.
        median: Whether a 3 × 3 median comes first; it removes targets of one or two pixels.
        border: Of the median and of the brightest values; means are taken with the edge replicated. Published
            code pads with zeros.
        least_spread: Lower bound of the standard deviation of the neighbours' levels, in grey levels.

    Returns:
        (H, W) float64, ≥ 0.
    """
    grey = as_grey(image)
    if median:
        grey = _median3(grey, border)
    core = _core(grey)
    score = np.zeros_like(grey)
    for d in odd_sides(scales, 'scales'):
        (top,) = window_top_means(pad(grey, d + d // 2, border), d, [count])
        tops = shifted(top, d, grey.shape)
        means = cell_grid(grey, d)
        level, *around = [t - mean for t, mean in zip(tops, means, strict=True)]
        spread = np.std(around, axis=0, ddof=1)
        weight = level * np.maximum(level - highest(around), 0) / np.maximum(spread, least_spread)
        contrast = np.maximum(divide(core**2, highest(tops[1:]), eps) - core, 0)
        np.maximum(score, weight * contrast, out=score)
    return score


def _core(grey: np.ndarray) -> np.ndarray:
    """The core layer: 1 2 1 by 1 2 1, sum 1, the edge replicated."""
    side = np.array([0.25, 0.5, 0.25])
    return cv2.sepFilter2D(grey, cv2.CV_64F, side, side, borderType=cv2.BORDER_REPLICATE)


def _median3(grey: np.ndarray, border: str) -> np.ndarray:
    frame = pad(grey, 1, border)
    height, width = grey.shape
    views = [frame[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return np.partition(np.stack(views, axis=-1), 4, axis=-1)[..., 4]
