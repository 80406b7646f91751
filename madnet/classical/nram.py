"""Non-convex rank approximation minimisation."""

import math

import numpy as np

from madnet.classical.image import as_grey, min_max
from madnet.classical.patches import PatchGrid
from madnet.classical.shrinkage import rescale_singular, small_gram


def nram(
    image: np.ndarray,
    patch: int = 50,
    step: int = 10,
    gamma: float = 0.002,
    reassembly: str = 'mean',
    tolerance: float = 1e-7,
    max_iterations: int = 1000,
) -> np.ndarray:
    """Patch-image model with a non-convex rank and an l2,1 norm for structured edges.

    Zhang, Peng, Zhang, Cao, Peng, "Infrared small target detection via non-convex rank approximation
    minimization joint l2,1 norm", Remote Sensing 10(11), 2018. Targets are bright only, as in published code.

    Args:
        image: (H, W), 0–255.
        patch: Side of the patches.
        step: Pixels from one patch to the next.
        gamma: Of the rank approximation.
        reassembly: ``'mean'``, ``'median'``, or ``'last'`` as in published code.
        tolerance: Of the relative residual.
        max_iterations: At most.

    Returns:
        (H, W) float64, ≥ 0; 1 is the range of the image.

    Raises:
        UserError: The image or an argument is not as stated.
    """
    grey = as_grey(image)
    grid = PatchGrid(grey.shape, patch, step)
    data = min_max(grid.cut(grey).reshape(len(grid), -1))
    size = np.linalg.norm(data)
    if size == 0:
        return np.zeros_like(grey)
    rank = min(data.shape)
    sparsity = 1 / math.sqrt(rank)
    mu, edge_weight, strength = 3 * math.sqrt(max(data.shape)), 3 / math.sqrt(rank), math.sqrt(rank) / 2.5
    target, edges, dual = np.zeros_like(data), np.zeros_like(data), np.zeros_like(data)
    values = np.zeros(rank)
    for _ in range(max_iterations):
        scaled_dual = dual / mu
        low, values = _non_convex_shrink(data - target - edges - scaled_dual, values, gamma, mu)
        rest = data - low - scaled_dual
        target = _reweighted_positive(rest - edges, sparsity * strength / mu)
        edges = _shrink_patches(rest - target, edge_weight / mu)
        residual = low + edges + target - data
        dual += mu * residual
        mu *= 1.1
        if np.linalg.norm(residual) < tolerance * size:
            break
    return grid.join(target.reshape(-1, patch, patch), reassembly)


def _non_convex_shrink(
    matrix: np.ndarray, start: np.ndarray, gamma: float, mu: float
) -> tuple[np.ndarray, np.ndarray]:
    """Singular values by the fixed point of the non-convex norm's gradient, started at the last ones."""
    squares, vectors = np.linalg.eigh(small_gram(matrix))
    singular, vectors = np.sqrt(np.maximum(squares[::-1], 0)), vectors[:, ::-1]
    values = start
    for _ in range(100):
        last = values
        values = np.maximum(singular - (1 + gamma) * gamma / (gamma + last) ** 2 / mu, 0)
        if ((values - last) ** 2).sum() < 1e-6:
            break
    kept = values > 0
    return rescale_singular(matrix, vectors[:, kept], values[kept] / singular[kept]), values


def _reweighted_positive(values: np.ndarray, threshold: float) -> np.ndarray:
    """Positive values less a threshold that falls with their size, else 0."""
    return np.maximum(values - threshold / (np.abs(values) + 0.04), 0)


def _shrink_patches(patches: np.ndarray, threshold: float) -> np.ndarray:
    """(n, pixels) with the Euclidean norm of every patch less a threshold, at least 0."""
    norms = np.linalg.norm(patches, axis=1, keepdims=True)
    return patches * np.maximum(1 - threshold / np.maximum(norms, threshold), 0)
