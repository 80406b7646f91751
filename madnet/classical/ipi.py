"""Infrared patch-image model: background patches form a matrix of low rank, targets are sparse in it."""

import math
from collections.abc import Iterable

import numpy as np

from madnet.classical.image import as_grey, min_max
from madnet.classical.patches import PatchGrid
from madnet.classical.shrinkage import leading, row_blocks, shrink, soft

_SETTLED_ITERATIONS, _SETTLED_PIXELS = 10, 20
_PENALTY_GROWTH = 1.5


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
        image, patch, step, reassembly, max_iterations: See :mod:`madnet.classical`.
        flush: Whether a last patch covers the right and lower border; published code has none.
        tolerance: Of the relative gradient.

    Returns:
        (H, W) float64, ≥ 0; 1 is the range of the image.
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
    values, left, right = leading(data, max(4, min(data.shape) // 16))
    if values[min(1, len(values) - 1)] <= 0:
        return np.zeros_like(data)
    course = _Course(values, tolerance, max_iterations)
    first = _first_iterations(data, weight, course, values, left, right)
    if first is None:
        return np.zeros_like(data)
    last, before = first
    step = np.empty_like(data)
    while True:
        momentum, threshold = course.momentum, course.threshold
        for rows in row_blocks(data.shape):
            np.multiply(last[rows], (1 + momentum) / 2, out=step[rows])
            step[rows] -= momentum / 2 * before[rows]
            step[rows] += data[rows] / 2
        left, right, values = shrink(step, threshold)
        squares, pixels = values @ values, 0
        for rows in row_blocks(data.shape):
            sparse = soft(data[rows] - step[rows], weight * threshold)
            squares += np.vdot(sparse, sparse)
            pixels += np.count_nonzero(sparse)
            np.subtract(left[rows] @ right, sparse, out=before[rows])
        last, before = before, last
        changes = (2 * step[rows] - data[rows] - last[rows] for rows in row_blocks(data.shape))
        if course.ends(changes, math.sqrt(squares), len(values), pixels, min(data.shape)):
            return soft(data - step, weight * threshold)


def _first_iterations(
    data: np.ndarray,
    weight: float,
    course: '_Course',
    values: np.ndarray,
    left: np.ndarray,
    right: np.ndarray,
) -> tuple[np.ndarray, np.ndarray] | None:
    """The last two iterates A of the iterations, a third to a half of all, before E has a pixel; None where
    the end came first.

    Until then all matrices have the singular vectors of ``data``, and only the singular values of A change.
    """
    before = last = np.zeros_like(values)
    while True:
        extrapolated = (1 + course.momentum) * last - course.momentum * before
        low = np.maximum((extrapolated + values) / 2 - course.threshold, 0)
        used = np.flatnonzero(extrapolated)
        left_used, right_used = left[:, used] * extrapolated[used], right[used]
        blocks = (data[rows] - left_used[rows] @ right_used for rows in row_blocks(data.shape))
        limit = 2 * weight * course.threshold
        # the last vector at hand is in use: there may be more
        if low[-1] > 0 or any(max(block.max(), -block.min()) > limit for block in blocks):
            return (left * last) @ right, (left * before) @ right
        before, last = last, low
        rank = int(np.count_nonzero(low))
        if course.ends([extrapolated - low], float(np.linalg.norm(low)), rank, 0, min(data.shape)):
            return None


class _Course:
    """Momentum, threshold and end of an accelerated gradient descent; ``values`` are the largest singular
    values of the data, at least four where there are as many."""

    def __init__(self, values: np.ndarray, tolerance: float, max_iterations: int):
        second, fourth = values[min(1, len(values) - 1)], values[min(3, len(values) - 1)]
        self.threshold, self._least_threshold = second / 2, 0.005 * fourth / 2
        self._tolerance, self._iterations = tolerance, max_iterations
        self._times = 1.0, 1.0
        self._rank: int | None = None
        self._settled = self._settled_pixels = 0

    @property
    def momentum(self) -> float:
        """How far the next step starts beyond the last iterate, in units of the last change."""
        return (self._times[0] - 1) / self._times[1]

    def ends(self, changes: Iterable[np.ndarray], size: float, rank: int, pixels: int, side: int) -> bool:
        """Count an iteration; whether it was the last.

        Args:
            changes: W − (A − E), in parts; no more of them are asked for than decide.
            size: Frobenius norm of A and E together.
            rank: Of A.
            pixels: In E.
            side: The smaller side of the data, which the rank cannot exceed.
        """
        self._iterations -= 1
        if rank == self._rank:
            self._settled += 1
        else:
            self._rank, self._settled, self._settled_pixels = rank, 0, pixels
        if (
            self._iterations <= 0
            or (self._settled > _SETTLED_ITERATIONS and abs(pixels - self._settled_pixels) < _SETTLED_PIXELS)
            or rank > 0.3 * side
            or self._is_small(changes, size)
        ):
            return True
        self._times = self._times[1], (1 + math.sqrt(1 + 4 * self._times[1] ** 2)) / 2
        self.threshold = max(0.9 * self.threshold, self._least_threshold)
        return False

    def _is_small(self, changes: Iterable[np.ndarray], size: float) -> bool:
        # the gradient is √2 times the change
        limit = 2 * (self._tolerance * max(1.0, size)) ** 2
        total = 0.0
        return all((total := total + np.vdot(change, change)) <= limit for change in changes)


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
    numbers. Here with a mean over all patches of a pixel. Arguments: see :mod:`madnet.classical`.

    Returns:
        (H, W) float64, ≥ 0, in grey levels.
    """
    grey = as_grey(image)
    grid = PatchGrid(grey.shape, patch, step)
    data = grid.cut(grey).reshape(len(grid), -1)
    spread, size = data.std(), np.linalg.norm(data)
    if spread == 0:
        return np.zeros_like(grey)
    weight = 1 / math.sqrt(max(grey.shape))
    penalty, pixels = 1 / (5 * spread), None
    # the dual variable is kept divided by the penalty
    target, dual = np.zeros_like(data), np.zeros_like(data)
    matrix, following = data, np.empty_like(data)
    for _ in range(max_iterations):
        left, right, _ = shrink(matrix, 1 / penalty)
        last, pixels, squares = pixels, 0, 0.0
        for rows in row_blocks(data.shape):
            rest = data[rows] + dual[rows] - left[rows] @ right
            target[rows] = np.maximum(rest - weight / penalty, 0)
            rest -= target[rows]
            residual = rest - dual[rows]
            dual[rows] = rest / _PENALTY_GROWTH
            following[rows] = data[rows] + dual[rows] - target[rows]
            squares += np.vdot(residual, residual)
            pixels += np.count_nonzero(target[rows])
        matrix, following = following, np.empty_like(data) if matrix is data else matrix
        penalty *= _PENALTY_GROWTH
        if math.sqrt(squares) < tolerance * size or pixels == last:
            break
    return grid.join(target.reshape(-1, patch, patch), reassembly)
