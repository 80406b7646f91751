"""Local contrast measures that compare a cell with the eight around it: LCM, RLCM, MPCM, HB-MLCM."""

from collections.abc import Sequence

import cv2
import numpy as np

from madnet.classical.cells import (
    box_mean,
    cell_grid,
    divide,
    highest,
    shifted,
    window_differences,
    window_top_means,
)
from madnet.classical.image import EPS, as_grey, odd_side, odd_sides, pad
from madnet.errors import UserError

SCALES = (3, 5, 7, 9)


def lcm(
    image: np.ndarray, scales: Sequence[int] = SCALES, border: str = 'replicate', eps: float = EPS
) -> np.ndarray:
    """Local contrast measure: squared peak of the cell over the mean of its brightest neighbour.

    Chen, Li, Wei, Xia, Tang, "A local contrast method for small infrared target detection", IEEE TGRS 52(1),
    2014. Never 0 on a flat scene, where it gives the grey level itself: bright sky outranks a dim target.
    Arguments: see :mod:`madnet.classical`; ``border`` is that of the means.
    """
    grey = as_grey(image)
    score = np.full_like(grey, -np.inf)
    for d in odd_sides(scales, 'scales'):
        peak = cv2.dilate(grey, np.ones((d, d), np.uint8))
        _, *around = cell_grid(grey, d, border)
        np.maximum(score, divide(peak**2, highest(around), eps), out=score)
    return score


def rlcm(
    image: np.ndarray,
    cell: int = 9,
    counts: Sequence[tuple[int, int]] = ((2, 4), (5, 9), (9, 16)),
    border: str = 'replicate',
    eps: float = EPS,
) -> np.ndarray:
    """Relative local contrast measure: ratio and difference of the brightest values of cells.

    Han, Liang, Zhou, Zhu, Zhao, Tang, "Infrared small target detection utilizing the multiscale relative
    local contrast measure", IEEE GRSL 15(4), 2018.

    Args:
        image, eps: See :mod:`madnet.classical`.
        cell: Side of a cell, odd.
        counts: Pairs of how many of the brightest values are averaged, in the centre cell and around it.
        border: As everywhere; published code pads with zeros.

    Returns:
        (H, W) float64, ≥ 0, in grey levels.
    """
    grey = as_grey(image)
    d = odd_side(cell, 'cell')
    needed = sorted({k for pair in counts for k in pair})
    means = window_top_means(pad(grey, d + d // 2, border), d, needed)
    tops: dict[int, np.ndarray] = dict(zip(needed, means, strict=True))
    score = np.zeros_like(grey)
    for inner, outer in counts:
        centre, *_ = shifted(tops[inner], d, grey.shape)
        _, *around = shifted(tops[outer], d, grey.shape)
        np.maximum(score, divide(centre**2, highest(around), eps) - centre, out=score)
    return score


def mpcm(
    image: np.ndarray,
    scales: Sequence[int] = SCALES,
    signed: bool = False,
    border: str = 'replicate',
    clip: bool = True,
) -> np.ndarray:
    """Multiscale patch-based contrast measure: the weakest product of differences to opposite cells.

    Wei, You, Li, "Multiscale patch-based contrast measure for small infrared target detection", Pattern
    Recognition 58, 2016.

    Args:
        image, scales, border: See :mod:`madnet.classical`.
        signed: The product as published, to which dark spots answer too (two negative differences); by
            default negative differences count as 0.
        clip: Whether negative products score 0.

    Returns:
        (H, W) float64, in squared grey levels.
    """
    grey = as_grey(image)
    score = np.full_like(grey, -np.inf)
    for d in odd_sides(scales, 'scales'):
        centre, *around = cell_grid(grey, d, border)
        differences = [centre - mean for mean in around]
        if not signed:
            differences = [np.maximum(difference, 0, out=difference) for difference in differences]
        products = [differences[i] * differences[i + 4] for i in range(4)]
        weakest = products[0]
        for product in products[1:]:
            np.minimum(weakest, product, out=weakest)
        np.maximum(score, weakest, out=score)
    return np.maximum(score, 0) if clip else score


def hb_mlcm(
    image: np.ndarray,
    scales: Sequence[int] = SCALES,
    boost: int = 9,
    outer: int = 15,
    border: str = 'replicate',
) -> np.ndarray:
    """High-boost multiscale local contrast measure.

    Shi, Wei, Yao, Pan, Xiao, "High-boost-based multiscale local contrast measure for infrared small target
    detection", IEEE GRSL 15(1), 2018: F = I·max(I − mean, 0), then the spread over scales of |mean of the
    cell − mean of the window around it|, squared.

    Args:
        image, scales, outer, border: See :mod:`madnet.classical`.
        boost: Side of the mean of the high-boost filter, odd.

    Returns:
        (H, W) float64, ≥ 0, up to 1e9.
    """
    grey = as_grey(image)
    boost = odd_side(boost, 'boost', least=3)  # of 1, nothing would be left
    if len(set(odd_sides(scales, 'scales'))) < 2:
        raise UserError(f'scales={scales!r}: expected two or more, over which the contrast spreads')
    boosted = grey * np.maximum(grey - box_mean(grey, boost, border), 0)
    low, high = np.full_like(grey, np.inf), np.full_like(grey, -np.inf)
    for _, difference in window_differences(boosted, scales, outer, border):
        contrast = np.abs(difference, out=difference)
        np.minimum(low, contrast, out=low)
        np.maximum(high, contrast, out=high)
    return (high - low) ** 2
