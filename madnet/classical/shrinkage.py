"""Shrinking of values, and of the singular values of matrices.

Singular values come from the Gram matrix along the smaller side, whose eigenvalues are their squares: several
times cheaper than a singular value decomposition, and exact enough where no threshold lies below about 1e-7
of the largest.
"""

from collections.abc import Callable, Iterator

import numpy as np
import scipy.linalg

# Element-wise steps on blocks of this many values, 0.5 MB each, read and write the cache and not the memory.
_BLOCK_VALUES = 1 << 16


def soft(values: np.ndarray, threshold: float) -> np.ndarray:
    """Values moved towards 0 by a threshold, exactly 0 within it."""
    return values - np.clip(values, -threshold, threshold)


def row_blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """The rows of an array, in blocks that several element-wise steps find in the cache."""
    rows = max(1, _BLOCK_VALUES * shape[0] // max(1, int(np.prod(shape))))
    return (slice(start, start + rows) for start in range(0, shape[0], rows))


def singular_values(matrix: np.ndarray) -> np.ndarray:
    """Singular values of a matrix (m, n), largest first."""
    wide = _wide(matrix)
    squares = scipy.linalg.eigvalsh(wide @ wide.T, check_finite=False)
    return np.sqrt(np.maximum(squares[::-1], 0))


def leading(matrix: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The largest singular values of a matrix (m, n), and their vectors.

    Returns:
        At most ``count`` values (r,), largest first; left vectors (m, r); right ones (r, n), 0 for a value 0.
    """
    wide = _wide(matrix)
    values, vectors = _decompose(wide)
    values, vectors = values[:count], vectors[:, :count]
    inverse = np.divide(1, values, out=np.zeros_like(values), where=values > 0)
    others = inverse[:, None] * (vectors.T @ wide)
    return (values, vectors, others) if wide is matrix else (values, others.T, vectors.T)


def shrink(matrix: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Singular value thresholding: argmin over B of threshold·‖B‖_* + ½‖B − matrix‖².

    Args:
        matrix: (m, n).
        threshold: Taken off every singular value, > 0.

    Returns:
        (m, k) and (k, n) with product B, and B's singular values that are not 0, largest first.
    """
    left, right, values = rescale(matrix, threshold, lambda values: 1 - threshold / values)
    return left, right, values - threshold


def rescale(
    matrix: np.ndarray,
    above: float,
    factors: Callable[[np.ndarray], np.ndarray],
    at_least: int = 0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A matrix with its leading singular values multiplied, the others 0.

    Args:
        matrix: (m, n).
        above: The values larger than this are wanted, > 0.
        factors: From the wanted values (r,), largest first, to what each is multiplied with, ≥ 0.
        at_least: The number of values that are wanted even where they are smaller.

    Returns:
        (m, k) and (k, n) with the wanted product, and the values (r,). One of the two may be ``matrix``
        itself.
    """
    wide = _wide(matrix)
    side, length = wide.shape
    values, vectors = _decompose(wide)
    count = max(np.count_nonzero(values > above), min(at_least, side))
    values, vectors = values[:count], vectors[:, :count]
    if count * length < side * (side + length) / 2:
        left, right = vectors * factors(values), vectors.T @ wide
    else:
        root = vectors * np.sqrt(factors(values))
        left, right = root @ root.T, wide
    return (left, right, values) if wide is matrix else (right.T, left.T, values)


def _wide(matrix: np.ndarray) -> np.ndarray:
    return matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T


def _decompose(wide: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Singular values (k,) of a matrix (k, n), k ≤ n, largest first, and their left vectors (k, k)."""
    # for a single row older SciPy gives 'evd' less room than it asks for
    driver = 'evd' if len(wide) > 1 else 'ev'
    squares, vectors = scipy.linalg.eigh(wide @ wide.T, driver=driver, check_finite=False, overwrite_a=True)
    return np.sqrt(np.maximum(squares[::-1], 0)), vectors[:, ::-1]
