"""Differences of means: ADMD, AAGD and AADCDD."""

from collections.abc import Sequence

import numpy as np

from madnet.classical.cells import box_mean, cell_grid, highest, shifted, window_differences
from madnet.classical.image import as_grey, odd_sides, pad
from madnet.classical.local_contrast import SCALES


def admd(
    image: np.ndarray,
    scales: Sequence[int] = SCALES,
    border: str = 'replicate',
    ignore_outside: bool = False,
) -> np.ndarray:
    """Absolute directional mean difference: how much a cell exceeds its brightest neighbour, squared.

    Moradi, Moallem, Sabahi, "Fast and robust small infrared target detection using absolute directional mean
    difference algorithm", Signal Processing 177, 2020.

    Args:
        image, scales, border: See :mod:`madnet.classical`.
        ignore_outside: Leave cells whose centre lies outside the image out of the comparison, as published
            code does; it then fires on bright structure at the frame.

    Returns:
        (H, W) float64, ≥ 0, in squared grey levels.
    """
    grey = as_grey(image)
    score = np.zeros_like(grey)
    for d in odd_sides(scales, 'scales'):
        if ignore_outside:
            means = np.pad(box_mean(grey, d, border), d, constant_values=-np.inf)
            centre, *around = shifted(means, d, grey.shape)
            brightest = highest(around)
            # where all eight lie outside there is nothing to exceed
            excess = np.where(np.isfinite(brightest), centre - brightest, 0)
        else:
            centre, *around = cell_grid(grey, d, border)
            excess = centre - highest(around)
        np.maximum(score, np.maximum(excess, 0) ** 2, out=score)
    return score


def aagd(
    image: np.ndarray,
    scales: Sequence[int] = SCALES,
    outer: int = 19,
    signed: bool = False,
    border: str = 'replicate',
) -> np.ndarray:
    """Absolute average grey difference: mean of the cell minus mean of the window around it, squared.

    Moradi, Moallem, Sabahi, "A false-alarm aware methodology to develop robust and efficient multi-scale
    infrared small target detection algorithm", Infrared Physics & Technology 89, 2018.

    Args:
        image, scales, outer, border: See :mod:`madnet.classical`.
        signed: Square negative differences too, as published: dark spots then answer as well.

    Returns:
        (H, W) float64, ≥ 0, in squared grey levels.
    """
    grey = as_grey(image)
    score = np.zeros_like(grey)
    for _, difference in window_differences(grey, scales, outer, border):
        if not signed:
            np.maximum(difference, 0, out=difference)
        np.maximum(score, difference**2, out=score)
    return score


def aadcdd(
    image: np.ndarray, scales: Sequence[int] = SCALES, outer: int = 19, border: str = 'replicate'
) -> np.ndarray:
    """Absolute average difference weighted by cumulative directional derivatives.

    Aghaziyarati, Moradi, Talebi, "Small infrared target detection using absolute average difference weighted
    by cumulative directional derivatives", Infrared Physics & Technology 101, 2019: :func:`aagd` times the
    least of four sums, one along each half axis, of what the pixels from the centre to the edge of the cell
    exceed the pixel just outside it; an edge has none in one direction. Arguments as in :func:`aagd`.

    Returns:
        (H, W) float64, ≥ 0, in cubed grey levels.
    """
    grey = as_grey(image)
    score = np.zeros_like(grey)
    for d, difference in window_differences(grey, scales, outer, border):
        weight = _directional_derivative(grey, d // 2, border)
        np.maximum(score, np.maximum(difference, 0) ** 2 * weight, out=score)
    return score


def _directional_derivative(grey: np.ndarray, radius: int, border: str) -> np.ndarray:
    height, width = grey.shape
    frame = pad(grey, radius + 1, border)

    def at(y: int, x: int) -> np.ndarray:
        top, left = radius + 1 + y, radius + 1 + x
        return frame[top : top + height, left : left + width]

    least = np.full_like(grey, np.inf)
    for y, x in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        inside = sum(at(k * y, k * x) for k in range(radius + 1))
        step = inside - (radius + 1) * at((radius + 1) * y, (radius + 1) * x)
        np.minimum(least, np.maximum(step, 0), out=least)
    return least
