"""Shrinking of values and of singular values."""

import numpy as np
import scipy.linalg


def soft(values: np.ndarray, threshold: float) -> np.ndarray:
    """Values moved towards 0 by a threshold, exactly 0 within it."""
    return values - np.clip(values, -threshold, threshold)


def small_gram(matrix: np.ndarray) -> np.ndarray:
    """The Gram matrix (k, k) of a matrix (m, n) along its smaller side, k = min(m, n).

    Its eigenvalues are the squared singular values: several times cheaper than a singular value
    decomposition, and exact enough where no threshold lies below about 1e-7 of the largest.
    """
    return matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix


def singular_values(matrix: np.ndarray) -> np.ndarray:
    """Singular values of a matrix (m, n), largest first."""
    squares = scipy.linalg.eigvalsh(small_gram(matrix), check_finite=False)
    return np.sqrt(np.maximum(squares[::-1], 0))


def rescale_singular(matrix: np.ndarray, vectors: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """A matrix with some of its singular values multiplied, the others 0.

    Args:
        matrix: (m, n).
        vectors: (k, r) singular vectors of the smaller side.
        factors: (r,).
    """
    if matrix.shape[0] <= matrix.shape[1]:
        return (vectors * factors) @ (vectors.T @ matrix)
    return (matrix @ (vectors * factors)) @ vectors.T


def shrink_singular(matrix: np.ndarray, threshold: float, few: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Singular value thresholding: argmin over B of threshold·‖B‖_* + ½‖B − matrix‖².

    Args:
        matrix: (m, n).
        threshold: Taken off every singular value, > 0.
        few: Whether only a small part of the values is expected to exceed it: those alone are then computed,
            which costs half as much where they are few and several times as much where they are many.

    Returns:
        B (m, n), and its singular values that are not 0, smallest first.
    """
    gram = small_gram(matrix)
    if few:
        above = (threshold**2, np.inf)
        squares, vectors = scipy.linalg.eigh(
            gram, subset_by_value=above, driver='evr', check_finite=False, overwrite_a=True
        )
    else:
        squares, vectors = np.linalg.eigh(gram)
        first = np.searchsorted(squares, threshold**2, side='right')
        squares, vectors = squares[first:], vectors[:, first:]
    values = np.sqrt(squares)
    return rescale_singular(matrix, vectors, 1 - threshold / values), values - threshold
