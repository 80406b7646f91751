"""Non-convex rank approximation minimisation."""

import math

import numpy as np

from madnet.classical.image import as_grey, min_max
from madnet.classical.patches import PatchGrid
from madnet.classical.shrinkage import rescale, row_blocks

_MU_GROWTH = 1.1


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
        image, patch, step, tolerance, max_iterations: See :mod:`madnet.classical`.
        gamma: Of the rank approximation.
        reassembly: ``'last'`` is that of published code.

    Returns:
        (H, W) float64, ≥ 0; 1 is the range of the image.
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
    low_rank = _NonConvexShrinker(gamma)
    # the dual variable is kept divided by mu
    target, edges, dual = np.zeros_like(data), np.zeros_like(data), np.zeros_like(data)
    matrix, following = data, np.empty_like(data)
    for _ in range(max_iterations):
        left, right = low_rank(matrix, mu)
        squares = 0.0
        for rows in row_blocks(data.shape):
            rest = data[rows] - left[rows] @ right - dual[rows]
            target[rows] = _reweighted_positive(rest - edges[rows], sparsity * strength / mu)
            rest -= target[rows]
            edges[rows] = _shrink_patches(rest, edge_weight / mu)
            rest = edges[rows] - rest
            residual = rest - dual[rows]
            dual[rows] = rest / _MU_GROWTH
            following[rows] = data[rows] - target[rows] - edges[rows] - dual[rows]
            squares += np.vdot(residual, residual)
        matrix, following = following, np.empty_like(data) if matrix is data else matrix
        mu *= _MU_GROWTH
        if math.sqrt(squares) < tolerance * size:
            break
    return grid.join(target.reshape(-1, patch, patch), reassembly)


class _NonConvexShrinker:
    """Singular values by the fixed point of the non-convex norm's gradient, started at the last ones."""

    def __init__(self, gamma: float):
        self._gamma, self._values = gamma, np.zeros(0)

    def __call__(self, matrix: np.ndarray, mu: float) -> tuple[np.ndarray, np.ndarray]:
        """(n, k) and (k, pixels), whose product is the matrix (n, pixels) with smaller singular values."""
        gamma = self._gamma
        weight = (1 + gamma) * gamma / mu

        def factors(singular: np.ndarray) -> np.ndarray:
            values = np.zeros_like(singular)
            values[: len(self._values)] = self._values
            for _ in range(100):
                last = values
                values = np.maximum(singular - weight / (gamma + last) ** 2, 0)
                if ((values - last) ** 2).sum() < 1e-6:
                    break
            self._values = values[values > 0]
            return np.divide(values, singular, out=np.zeros_like(values), where=values > 0)

        # a value that is 0 now stays 0 unless it exceeds what the gradient at 0 takes off
        left, right, _ = rescale(matrix, weight / gamma**2, factors, len(self._values))
        return left, right


def _reweighted_positive(values: np.ndarray, threshold: float) -> np.ndarray:
    """Positive values less a threshold that falls with their size, else 0."""
    return np.maximum(values - threshold / (np.abs(values) + 0.04), 0)


def _shrink_patches(patches: np.ndarray, threshold: float) -> np.ndarray:
    """(n, pixels) with the Euclidean norm of every patch less a threshold, at least 0."""
    norms = np.sqrt(np.einsum('ij,ij->i', patches, patches))[:, None]
    return patches * np.maximum(1 - threshold / np.maximum(norms, threshold), 0)
