"""Partial sum of the tensor nuclear norm."""

import math

import numpy as np

from madnet.classical.image import as_grey, min_max
from madnet.classical.patches import PatchGrid
from madnet.classical.shrinkage import singular_values
from madnet.classical.structure_tensor import structure_tensor


def pstnn(
    image: np.ndarray,
    patch: int = 40,
    step: int = 40,
    weight: float = 0.7,
    reassembly: str = 'mean',
    tolerance: float = 1e-3,
    max_iterations: int = 500,
) -> np.ndarray:
    """Patch-tensor model with the partial sum of the tensor nuclear norm.

    Zhang, Peng, "Infrared small target detection based on partial sum of the tensor nuclear norm", Remote
    Sensing 11(4), 2019: the largest singular values of every frequency slice are kept, only the others
    shrunk; corners, by the structure tensor, weigh for being a target. As in the authors' program it often
    ends after a few iterations, and may find nothing at all.

    Args:
        image, patch, step, tolerance, max_iterations: See :mod:`madnet.classical`.
        weight: L in λ = L/√(patch · n).
        reassembly: ``'last'`` is that of published code.

    Returns:
        (H, W) float64, ≥ 0, in grey levels.
    """
    grey = as_grey(image)
    grid = PatchGrid(grey.shape, patch, step)
    larger, smaller = structure_tensor(grey, image_sigma=2.0, tensor_sigma=9.0)
    total = larger + smaller
    corners = np.divide(larger * smaller, total, out=np.zeros_like(total), where=total != 0)
    prior = grid.cut(min_max(corners * larger))
    data = grid.cut(grey)
    sparsity = weight / math.sqrt(patch * len(grid))
    preserved = _preserved_rank(data)
    size = np.linalg.norm(data)
    if size == 0:
        return np.zeros_like(grey)
    target, dual, reweighting = np.zeros_like(data), np.zeros_like(data), np.ones_like(data)
    mu, pixels = 2e-3, 0
    for _ in range(max_iterations):
        shifted = data - dual / mu
        low = _partial_shrink(shifted - target, preserved, 1 / mu)
        target = np.maximum(shifted - low - reweighting * (sparsity / mu), 0)
        with np.errstate(divide='ignore'):
            # no corner at all: an infinite weight, never a target
            reweighting = preserved / (target + 0.01) / prior
        residual = low + target - data
        dual += mu * residual
        mu *= 1.05
        last, pixels = pixels, int(np.count_nonzero(target))
        if np.linalg.norm(residual) < tolerance * size or 0 < pixels == last:
            break
    return grid.join(target, reassembly)


def _preserved_rank(data: np.ndarray) -> int:
    """How many singular values reach a tenth of the largest, at least 1.

    Of the (n, p²) matrix that a column-major reshape of the (p, p, n) tensor gives. That mixes the axes and
    is no unfolding of the tensor, but every published program defines the rank by it.
    """
    n = len(data)
    values = singular_values(np.reshape(data.transpose(1, 2, 0), (n, -1), order='F'))
    return max(1, int((values >= 0.1 * values[0]).sum()))


def _partial_shrink(tensor: np.ndarray, preserved: int, threshold: float) -> np.ndarray:
    """A tensor (n, p, p) whose frequency slices along n keep their largest singular values, shrink others."""
    slices = np.fft.rfft(tensor, axis=0)
    squares, vectors = np.linalg.eigh(slices.conj().swapaxes(1, 2) @ slices)
    values = np.sqrt(np.maximum(squares, 0))
    factors = np.where(values > threshold, 1 - threshold / np.maximum(values, threshold), 0)
    factors[:, max(0, factors.shape[1] - preserved) :] = 1
    low = (slices @ (vectors * factors[:, None, :])) @ vectors.conj().swapaxes(1, 2)
    return np.fft.irfft(low, n=len(tensor), axis=0)
