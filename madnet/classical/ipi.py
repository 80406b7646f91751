"""Infrared patch-image model: background patches form a matrix of low rank, targets are sparse in it."""

import math

import numpy as np

from madnet.classical.image import as_grey, min_max
from madnet.classical.patches import PatchGrid
from madnet.classical.shrinkage import shrink_singular, singular_values, soft

_SETTLED_ITERATIONS, _SETTLED_PIXELS = 10, 20


def ipi(
    image: np.ndarray,
    patch: int = 50,
    step: int = 10,
    reassembly: str = 'median',
    flush: bool = True,
    tolerance: float = 1e-6,
    max_iterations: int = 1000,
) -> np.ndarray:
    """Infrared patch-image model, by the authors' accelerated proximal gradient method.

    Gao, Meng, Yang, Wang, Zhou, Hauptmann, "Infrared patch-image model for small target detection in a single
    image", IEEE TIP 22(12), 2013: min ‖B‖_* + λ‖T‖₁ with λ = 1/√max(H, W), as in the authors' code. It
    usually ends because the rank no longer changes, and where it never changed the score is 0 everywhere.

    Args:
        image: (H, W), 0–255.
        patch: Side of the patches.
        step: Pixels from one patch to the next.
        reassembly: ``'median'``, ``'mean'`` or ``'last'`` of the patches over a pixel.
        flush: Whether a last patch covers the right and lower border; published code has none.
        tolerance: Of the relative gradient.
        max_iterations: At most.

    Returns:
        (H, W) float64, ≥ 0; 1 is the range of the image.

    Raises:
        UserError: The image or an argument is not as stated.
    """
    grey = as_grey(image)
    grid = PatchGrid(grey.shape, patch, step, flush)
    data = min_max(grid.cut(grey).reshape(len(grid), -1))
    target = _accelerated_gradient(data, 1 / math.sqrt(max(grey.shape)), tolerance, max_iterations)
    return np.maximum(grid.join(target.reshape(-1, patch, patch), reassembly), 0)


def _accelerated_gradient(
    data: np.ndarray, weight: float, tolerance: float, max_iterations: int
) -> np.ndarray:
    """The sparse part E of ``data`` (n, pixels) ≈ A + E, A of low rank.

    With Y_A, Y_E the extrapolated iterates, both gradient steps depend on W = Y_A − Y_E alone: they lead to
    G = (W + data)/2 for A and to data − G for E. So the difference A − E of the last two iterates is all the
    state there is, and the gradient's two halves are ±(W − (A − E)).
    """
    values = singular_values(data)
    second, fourth = values[min(1, len(values) - 1)], values[min(3, len(values) - 1)]
    shrink, least_shrink = second, 0.005 * fourth
    sparse = np.zeros_like(data)
    if shrink <= 0:
        return sparse
    before = last = np.zeros_like(data)
    t_before = t_last = 1.0
    rank, settled, settled_pixels = None, 0, 0
    for _ in range(max_iterations):
        momentum = (t_before - 1) / t_last
        extrapolated = (1 + momentum) * last
        extrapolated -= momentum * before
        step = extrapolated + data
        step /= 2
        low, low_values = shrink_singular(step, shrink / 2, few=True)
        sparse = soft(np.subtract(data, step, out=step), weight * shrink / 2)
        before, last = last, np.subtract(low, sparse, out=low)
        gradient = math.sqrt(2) * np.linalg.norm(extrapolated - last)
        size = math.hypot(np.linalg.norm(low_values), np.linalg.norm(sparse))
        pixels = np.count_nonzero(sparse)
        if len(low_values) == rank:
            settled += 1
        else:
            rank, settled, settled_pixels = len(low_values), 0, pixels
        if (
            gradient <= tolerance * 2 * max(1.0, size)
            or (settled > _SETTLED_ITERATIONS and abs(pixels - settled_pixels) < _SETTLED_PIXELS)
            or rank > 0.3 * min(data.shape)
        ):
            break
        t_before, t_last = t_last, (1 + math.sqrt(1 + 4 * t_last**2)) / 2
        shrink = max(0.9 * shrink, least_shrink)
    return sparse


def ipi_alm(
    image: np.ndarray,
    patch: int = 30,
    step: int = 10,
    reassembly: str = 'mean',
    tolerance: float = 1e-7,
    max_iterations: int = 1000,
) -> np.ndarray:
    """Infrared patch-image model with non-negative targets, by an inexact augmented Lagrangian method.

    What circulates as IPI in Python: the model of :func:`ipi` with smaller patches, another solver and other
    numbers. Here with a mean over all patches of a pixel.

    Args:
        image: (H, W), 0–255.
        patch: Side of the patches.
        step: Pixels from one patch to the next.
        reassembly: ``'median'``, ``'mean'`` or ``'last'`` of the patches over a pixel.
        tolerance: Of the relative residual.
        max_iterations: At most.

    Returns:
        (H, W) float64, ≥ 0, in grey levels.

    Raises:
        UserError: The image or an argument is not as stated.
    """
    grey = as_grey(image)
    grid = PatchGrid(grey.shape, patch, step)
    data = grid.cut(grey).reshape(len(grid), -1)
    target, dual = np.zeros_like(data), np.zeros_like(data)
    spread, size = data.std(), np.linalg.norm(data)
    if spread == 0:
        return np.zeros_like(grey)
    weight = 1 / math.sqrt(max(grey.shape))
    penalty, pixels = 1 / (5 * spread), None
    for _ in range(max_iterations):
        shifted = data + dual / penalty
        low, _ = shrink_singular(shifted - target, 1 / penalty)
        target = np.maximum(shifted - low - weight / penalty, 0)
        residual = data - low - target
        dual += penalty * residual
        penalty *= 1.5
        last, pixels = pixels, np.count_nonzero(target)
        if np.linalg.norm(residual) < tolerance * size or pixels == last:
            break
    return grid.join(target.reshape(-1, patch, patch), reassembly)
