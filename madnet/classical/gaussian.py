"""Blob filters: the Laplacian of a Gaussian at several scales, and the difference of two Gaussians."""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from madnet.classical.image import as_grey
from madnet.errors import UserError


def log(
    image: np.ndarray, sigmas: Sequence[float] = (1.0, math.sqrt(2), 2.0, 2 * math.sqrt(2))
) -> np.ndarray:
    """Laplacian of a Gaussian, scale-normalised, the largest response over several scales.

    Kim, Lee, "Scale invariant small target detection by optimizing signal-to-clutter ratio in heterogeneous
    background for infrared search and track", Pattern Recognition 45(1), 2012. The kernel is −σ²∇²G, positive
    on bright blobs and brought to a sum of 0; a blob of radius a answers most at σ = a/√2.

    Args:
        image: See :mod:`madnet.classical`.
        sigmas: Scales in pixels; the border is replicated.

    Returns:
        (H, W) float64, ≥ 0, in grey levels.
    """
    grey = as_grey(image)
    score = np.zeros_like(grey)
    for sigma in _positive(sigmas):
        g, x = _gaussian(sigma)
        curved = g * (1 - x**2 / sigma**2)
        # g(x)g(y)·(2 − (x² + y²)/σ²), as a sum of two separable kernels
        response = _separable(grey, curved, g) + _separable(grey, g, curved)
        mean = 2 * g.sum() * curved.sum() / g.size**2
        box = np.ones_like(g)
        np.maximum(score, response - mean * _separable(grey, box, box), out=score)
    return score


def dog(image: np.ndarray, sigmas: tuple[float, float] = (1.0, 2.0)) -> np.ndarray:
    """Difference of a narrow and a wide Gaussian.

    Wang, Lv, Xu, "Infrared dim target detection based on visual attention", Infrared Physics & Technology 55,
    2012. ``sigmas`` are those of the narrow and the wide one, in pixels; the rest is as in :func:`log`.
    """
    grey = as_grey(image)
    pair = _positive(sigmas)
    if len(pair) != 2 or pair[0] >= pair[1]:
        raise UserError(f'sigmas={pair}: expected two, the smaller first')
    narrow, wide = (_separable(grey, g, g) for g, _ in map(_gaussian, pair))
    return np.maximum(narrow - wide, 0)


def _positive(sigmas: Sequence[float]) -> tuple[float, ...]:
    try:
        found = tuple(float(s) for s in np.atleast_1d(sigmas))
    except (TypeError, ValueError):
        found = ()
    if not found or not all(0 < s < math.inf for s in found):
        raise UserError(f'sigmas={sigmas!r}: expected positive numbers of pixels')
    return found


def _gaussian(sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """A Gaussian of sum 1 cut at ⌈4σ⌉, and where its taps lie."""
    radius = math.ceil(4 * sigma)
    x = np.arange(-radius, radius + 1, dtype=np.float64)
    g = np.exp(-(x**2) / (2 * sigma**2))
    return g / g.sum(), x


def _separable(image: np.ndarray, along_x: np.ndarray, along_y: np.ndarray) -> np.ndarray:
    return cv2.sepFilter2D(image, cv2.CV_64F, along_x, along_y, borderType=cv2.BORDER_REPLICATE)
