"""Shrinking of values, and of the singular values of matrices that follow one another in an iteration."""

from collections.abc import Callable, Iterator

import numpy as np
import scipy.linalg

# Element-wise steps on blocks of so many values, 0.5 MB each, read and write the cache and not the memory.
_BLOCK_VALUES = 1 << 16
# Krylov spaces pay for matrices of at least this side, while they do not grow beyond a part of it: the first
# while the number of wanted values still changes, the second where it has settled and a space grows little.
_KRYLOV_SIDE, _KRYLOV_SPACE, _KRYLOV_SPACE_SETTLED = 800, 0.5, 0.65
# Where a larger part of all vectors than this is expected, LAPACK's driver for all of them is the faster one;
# the second number is for sides on which Krylov spaces pay.
_MANY, _MANY_LARGE = 0.17, 0.28
_PROBES = 4
# Parts of what a space may leave: a direction that holds less is not worth its place, and a space that leaves
# less may be a block too deep.
_DROPPED, _TOO_DEEP = 0.01, 0.01
# By eigenproblem: how soon a space that became too large is tried again.
_GROWTH_DECAY = 0.93


def soft(values: np.ndarray, threshold: float) -> np.ndarray:
    """Values moved towards 0 by a threshold, exactly 0 within it."""
    return values - np.clip(values, -threshold, threshold)


def row_blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """The rows of an array, in blocks that several element-wise steps find in the cache."""
    rows = max(1, _BLOCK_VALUES * shape[0] // max(1, np.prod(shape)))
    return (slice(start, start + rows) for start in range(0, shape[0], rows))


def singular_values(matrix: np.ndarray) -> np.ndarray:
    """Singular values of a matrix (m, n), largest first."""
    squares = scipy.linalg.eigvalsh(_gram(_wide(matrix)), check_finite=False)
    return np.sqrt(np.maximum(squares[::-1], 0))


class SingularShrinker:
    """Rescales the leading singular values of matrices of one shape, each near the one before it.

    They come from the Gram matrix along the smaller side k, whose eigenvalues are their squares: several
    times cheaper than a singular value decomposition, and exact enough where no threshold lies below about
    1e-7 of the largest. Of a large matrix with few values above the threshold, a block Krylov space that
    begins with the leading vectors of the matrix before holds all that is wanted, and costs far less than the
    k × k eigenproblem.

    Args:
        residual: What a Krylov space may leave of a wanted vector's residual, by an estimate from above, in
            units of the least value that is wanted. The error of the product grows with its square.
    """

    def __init__(self, residual: float = 1e-3):
        self._residual = residual
        # the last matrix's leading singular vectors (k, b) along its smaller side, more than were wanted
        self._basis: np.ndarray | None = None
        self._count, self._settled = 0, False
        # blocks of a space, and how much larger than the first it becomes where the number has settled
        self._depth, self._growth = 2, 0.6
        self._random = np.random.default_rng(0)

    def leading(self, matrix: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The largest singular values of a matrix (m, n), and their vectors.

        Returns:
            At most ``count`` values (r,), largest first; left vectors (m, r); right vectors (r, n), 0 where a
            value is 0.
        """
        wide = _wide(matrix)
        side = len(wide)
        squares, vectors = _eigh(_gram(wide), subset_by_index=(max(side - count, 0), side - 1))
        self._basis, self._count = vectors if side >= _KRYLOV_SIDE else None, 0
        values = np.sqrt(np.maximum(squares, 0))
        inverse = np.divide(1, values, out=np.zeros_like(values), where=values > 0)
        others = inverse[:, None] * (vectors.T @ wide)
        return (values, vectors, others) if wide is matrix else (values, others.T, vectors.T)

    def shrink(self, matrix: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Singular value thresholding: argmin over B of threshold·‖B‖_* + ½‖B − matrix‖².

        Args:
            matrix: (m, n).
            threshold: Taken off every singular value, > 0.

        Returns:
            (m, k) and (k, n) with product B, and B's singular values that are not 0, largest first.
        """
        left, right, values = self.rescale(matrix, threshold, lambda values: 1 - threshold / values)
        return left, right, values - threshold

    def rescale(
        self,
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
            at_least: So many values are wanted even where they are smaller.

        Returns:
            (m, k) and (k, n) with the wanted product, and the values (r,). One of the factors may be
            ``matrix`` itself.
        """
        wide = _wide(matrix)
        at_least = min(at_least, len(wide))
        found = self._follow(wide, above, at_least) or self._decompose(wide, above, at_least)
        values, vectors, projected = found
        count = len(values)
        self._settled = abs(count - self._count) <= 0.01 * count
        self._count = count
        factors = factors(values)
        side, length = wide.shape
        if projected is not None:
            left, right = vectors * factors, projected
        elif count * length < side * (side + length) / 2:
            left, right = vectors * factors, vectors.T @ wide
        else:
            root = vectors * np.sqrt(factors)
            left, right = root @ root.T, wide
        return (left, right, values) if wide is matrix else (right.T, left.T, values)

    def _decompose(self, wide: np.ndarray, above: float, at_least: int) -> tuple:
        """The wanted values (r,), vectors (k, r), by an eigenproblem of size k; and nothing."""
        gram = _gram(wide)
        side = len(gram)
        expected, large = max(self._count, at_least), side >= _KRYLOV_SIDE
        # the next matrix's Krylov space begins with more vectors than are wanted of this one
        spare = large and self._has_room(_with_spare(expected), side)
        if expected > (_MANY_LARGE if large else _MANY) * side:
            squares, vectors = _eigh(gram, driver='evd')
        else:
            lowest = (0.7 if spare else 1) * above
            squares, vectors = _eigh(gram.copy() if at_least else gram, subset_by_value=(lowest**2, np.inf))
            if len(squares) < at_least:
                squares, vectors = _eigh(gram, subset_by_index=(side - at_least, side - 1))
        count = max(np.count_nonzero(squares > above**2), at_least)
        self._basis = vectors[:, : _with_spare(count)] if spare else None
        self._growth *= _GROWTH_DECAY
        return np.sqrt(np.maximum(squares[:count], 0)), vectors[:, :count], None

    @property
    def _largest_space(self) -> float:
        return _KRYLOV_SPACE_SETTLED if self._settled else _KRYLOV_SPACE

    def _has_room(self, block: int, side: int) -> bool:
        """Whether a Krylov space that begins with so many vectors may be expected to pay."""
        further = self._growth if self._settled else self._depth
        return block * (1 + further) < self._largest_space * side

    def _follow(self, wide: np.ndarray, above: float, at_least: int) -> tuple | None:
        """The wanted values (r,), vectors (k, r) and vectors' · wide (r, n), from the last matrix's vectors.

        Their block Q spans almost what is wanted. With G the Gram matrix, the space [Q, K₁, K₂, …] of the
        residual K₁ = (1 − QQ')GQ and Kᵢ₊₁ = GKᵢ, each made orthogonal to what is before it, is deepened until
        the wanted vectors hardly reach into its last block. None where the eigenproblem costs less.
        """
        side = len(wide)
        if self._basis is None or not self._has_room(self._basis.shape[1], side):
            return None
        basis = space = self._basis
        projected = basis.T @ wide
        gram = projected @ projected.T
        squares = gram.diagonal()
        unit = min(above, np.sqrt(squares[min(at_least, len(squares)) - 1])) if at_least else above
        unit = max(unit, 1e-3 * above)
        block = (wide @ projected.T - basis @ gram) / (unit * np.sqrt(np.maximum(squares, unit**2)))
        # An iteration may leave the vectors what they were, and only scale the values: then the residual is
        # 0, and these alone can find a new one among the wanted.
        probes = self._random.normal(0, 1 / np.sqrt(side), (side, _PROBES))
        block = np.concatenate([block, probes], axis=1)
        for depth in range(1, 9):
            block, weights = _orthonormal(block, space, _DROPPED * self._residual)
            if space.shape[1] + len(weights) > self._largest_space * side:
                self._depth = depth
                self._growth = (space.shape[1] + len(weights)) / basis.shape[1] - 1
                return None
            image = block.T @ wide
            cross = projected @ image.T
            gram = np.block([[gram, cross], [cross.T, image @ image.T]])
            space, projected = np.concatenate([space, block], axis=1), np.concatenate([projected, image])
            if depth >= self._depth or not len(weights):
                squares, inner = np.linalg.eigh(gram)
                values, inner = np.sqrt(np.maximum(squares[::-1], 0)), inner[:, ::-1]
                count = max(np.count_nonzero(values > above), at_least)
                # G leads from a Krylov space only out of its last block, by less than unit²/2 there: half of
                # the largest square that is left
                last = np.linalg.norm(inner[len(inner) - len(weights) :, :count], axis=0)
                residual = (unit / 2 * last / np.maximum(values[:count], 1e-3 * unit)).max(initial=0)
                if residual <= self._residual:
                    break
            # weighed by its part in the residual, a direction that cannot matter any more is left out next
            block = wide @ (image * (weights[:, None] / unit**2)).T
        else:
            return None
        self._depth = max(2, depth - 1) if residual < _TOO_DEEP * self._residual else depth
        inner = inner[:, : _with_spare(count)]
        vectors = space @ inner
        self._basis = vectors
        return values[:count], vectors[:, :count], inner[:, :count].T @ projected


def _with_spare(count: int) -> int:
    return int(min(1.35 * count + 8, 1.12 * count + 40))


def _wide(matrix: np.ndarray) -> np.ndarray:
    return matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T


def _gram(wide: np.ndarray) -> np.ndarray:
    return wide @ wide.T


def _eigh(gram: np.ndarray, driver: str = 'evr', **subset) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues of a matrix that is not kept, largest first, and their vectors."""
    squares, vectors = scipy.linalg.eigh(gram, driver=driver, check_finite=False, overwrite_a=True, **subset)
    return squares[::-1], vectors[:, ::-1]


def _orthonormal(block: np.ndarray, space: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """An orthonormal basis of what a block (k, b) adds to a space with an orthonormal basis (k, s).

    Returns:
        (k, c), c ≤ b, and the singular value of each direction in the block, none below ``least``.
    """
    weights = None
    for _ in range(2):  # the second time for what the first leaves of rounding
        block = block - space @ (space.T @ block)
        squares, inner = np.linalg.eigh(block.T @ block)
        if weights is None:
            kept = squares > max(1e-12 * squares.max(initial=0), least**2)
            squares, inner = squares[kept], inner[:, kept]
            weights = np.sqrt(squares)
        block = block @ (inner / np.sqrt(squares))
    return block, weights
