"""Connected components of a score map that comes in bands and is never there as a whole."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from madnet.errors import UserError
from madnet.evaluation.components import find_components

#: Of one map; more are no small targets, and would fill the memory.
MAX_PIXELS, MAX_COMPONENTS = 2**24, 2**18


@dataclass(frozen=True)
class Piece:
    """A connected component, or the part of it that lies in the bands so far.

    Attributes:
        ys, xs: (n,) int32 rows and columns of its pixels in the whole map, by rows.
        scores: (n,) float32 in 0–1.
    """

    ys: np.ndarray
    xs: np.ndarray
    scores: np.ndarray

    @property
    def first(self) -> tuple[int, int]:
        """Row and column of the first pixel, by which components are ordered."""
        return int(self.ys[0]), int(self.xs[0])

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(x0, y0, x1, y1) in pixels, half-open."""
        return int(self.xs.min()), int(self.ys[0]), int(self.xs.max()) + 1, int(self.ys[-1]) + 1


class ComponentBands:
    """Finds the 8-connected components above a threshold, band by band.

    Args:
        threshold: 0–1; where the score exceeds it is foreground.

    Attributes:
        open_from: The first row of the components that may still grow; the number of rows so far where there
            are none. Above it nothing changes any more.
    """

    def __init__(self, threshold: float):
        self.threshold = threshold
        self.open_from = 0
        self._rows = self._pixels = self._components = 0
        self._open: list[Piece] = []
        self._last = np.zeros(0, np.int64)  # of the last row: the number of an open piece from 1 on, or 0

    def add(self, scores: np.ndarray) -> list[Piece]:
        """Take the next band.

        Args:
            scores: (h, W) float32 in 0–1.

        Returns:
            The components that end above its last row, in the order of their first pixels.

        Raises:
            UserError: Far too much of the map is foreground.
        """
        found = find_components(scores > self.threshold)
        labels = found.labels
        new = [
            Piece((ys + self._rows).astype(np.int32), xs.astype(np.int32), scores[ys, xs])
            for ys, xs in found.pixels()
        ]
        self._pixels += sum(len(piece.ys) for piece in new)
        self._components += len(new)
        if self._pixels > MAX_PIXELS or self._components > MAX_COMPONENTS:
            raise UserError(
                f'{self._pixels:,} pixels in {self._components:,} components score above {self.threshold:g} '
                f'in the first {self._rows + len(scores)} rows: no small targets; raise the threshold.'
            )
        before = self._open
        piece_of = self._joined(labels[0], len(before), len(new))
        members = defaultdict(list)
        for number, piece in enumerate([*before, *new]):
            members[piece_of[number]].append(piece)
        joined = {root: _union(pieces) for root, pieces in members.items()}
        last = np.concatenate([[-1], piece_of[len(before) :]]).astype(np.int64)[labels[-1]]
        going_on = list(dict.fromkeys(last[last >= 0].tolist()))
        numbers = np.zeros(len(piece_of) + 1, np.int64)
        numbers[going_on] = np.arange(1, len(going_on) + 1)
        self._last = np.where(last >= 0, numbers[last], 0)
        self._open = [joined.pop(root) for root in going_on]
        self._rows += len(scores)
        self.open_from = min((piece.first[0] for piece in self._open), default=self._rows)
        return sorted(joined.values(), key=lambda piece: piece.first)

    def finish(self) -> list[Piece]:
        """The components that reach the last row of the map."""
        rest, self._open, self.open_from = self._open, [], self._rows
        return sorted(rest, key=lambda piece: piece.first)

    def _joined(self, first_row: np.ndarray, before: int, new: int) -> np.ndarray:
        """For every piece, open ones before new ones, the piece that stands for all that touch it."""
        root = np.arange(before + new)

        def top(piece: int) -> int:
            while root[piece] != piece:
                root[piece] = root[root[piece]]
                piece = root[piece]
            return piece

        if before:
            above = np.pad(self._last, 1)
            for shift in range(3):
                touching = (above[shift : shift + len(first_row)] > 0) & (first_row > 0)
                pairs = np.stack([above[shift : shift + len(first_row)], first_row])[:, touching]
                for a, b in np.unique(pairs, axis=1).T.tolist():
                    a, b = top(a - 1), top(before + b - 1)
                    root[max(a, b)] = min(a, b)
        return np.array([top(piece) for piece in range(before + new)], np.int64)


def _union(pieces: list[Piece]) -> Piece:
    """Pieces as one, its pixels by rows."""
    if len(pieces) == 1:
        return pieces[0]
    ys, xs, scores = (
        np.concatenate([getattr(piece, name) for piece in pieces]) for name in ('ys', 'xs', 'scores')
    )
    order = np.lexsort((xs, ys))
    return Piece(ys[order], xs[order], scores[order])
