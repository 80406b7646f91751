"""Reweighted infrared patch-tensor model."""

import math

import numpy as np

from madnet.classical.image import as_grey, min_max
from madnet.classical.patches import PatchGrid
from madnet.classical.shrinkage import shrink
from madnet.classical.structure_tensor import structure_tensor

_MU_DECAY = 1.5


def ript(
    image: np.ndarray,
    patch: int = 30,
    step: int = 10,
    weight: float = 0.7,
    edge_weight: float = 1.0,
    reassembly: str = 'mean',
    tolerance: float = 1e-7,
    max_iterations: int = 500,
) -> np.ndarray:
    """Reweighted infrared patch-tensor model with nonlocal and local priors.

    Dai, Wu, "Reweighted infrared patch-tensor model with both nonlocal and local priors for single-frame
    small target detection", IEEE JSTARS 10(8), 2017: the three unfoldings of the patch tensor are of low
    rank; edges, by the structure tensor, weigh against being a target.

    Usually fewer than ten iterations are needed: the number of target pixels settles first.

    Args:
        image, patch, step, tolerance, max_iterations: See :mod:`madnet.classical`.
        weight: L in λ = L/√min(patch, n).
        edge_weight: h in exp(h · edge strength).
        reassembly: ``'last'`` is that of published code.

    Returns:
        (H, W) float64, ≥ 0, in grey levels.
    """
    grey = as_grey(image)
    grid = PatchGrid(grey.shape, patch, step)
    larger, smaller = structure_tensor(grey, image_sigma=1.2, tensor_sigma=2.0)
    local = grid.cut(np.exp(edge_weight * min_max(larger - smaller)))
    data = grid.cut(grey)
    mu, size = 5 * data.std(ddof=1), np.linalg.norm(data)
    if mu == 0:
        return np.zeros_like(grey)
    sparsity = weight / math.sqrt(min(patch, len(grid)))
    target, reweighting = np.zeros_like(data), local
    # the dual variables are kept multiplied by mu
    duals = [np.zeros_like(data) for _ in range(3)]
    pixels = 0
    for _ in range(max_iterations):
        dual_mean = sum(duals) / 3
        for mode, dual in enumerate(duals):
            dual += data
            dual -= _low_rank(dual - target, mode, mu)
        rest = sum(duals) / 3
        target = np.maximum(rest - reweighting * (mu * sparsity / 3), 0)
        reweighting = local / (target + 0.01)
        for dual in duals:
            dual -= target
            dual /= _MU_DECAY
        mu /= _MU_DECAY
        last, pixels = pixels, int(np.count_nonzero(target))
        residual = np.linalg.norm(rest - dual_mean - target)
        if residual < tolerance * size or pixels == last:
            break
    return grid.join(target, reassembly)


def _low_rank(tensor: np.ndarray, mode: int, threshold: float) -> np.ndarray:
    """A tensor (n, p, p) with the singular values of its unfolding along axis ``mode`` shrunk."""
    # along the first or the last axis nothing has to be copied
    axis = 0 if mode == 0 else -1
    unfolded = np.moveaxis(tensor, mode, axis)
    shape = (len(tensor), -1) if axis == 0 else (-1, tensor.shape[mode])
    left, right, _ = shrink(unfolded.reshape(shape), threshold)
    return np.moveaxis((left @ right).reshape(unfolded.shape), axis, mode)
