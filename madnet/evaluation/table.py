"""A growing table of numbers: small rows per image or per target, eight bytes a cell."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

import numpy as np


class Table:
    """Rows of float64 under named columns; whole numbers up to 2^53 stay exact."""

    def __init__(self, columns: Iterable[str]):
        self.columns = tuple(columns)
        self._cells = array('d')

    def __len__(self) -> int:
        return len(self._cells) // len(self.columns)

    def append(self, row: Iterable[float]) -> None:
        """Add one row, its values in the order of the columns."""
        self._cells.extend(row)

    def extend(self, rows: np.ndarray) -> None:
        """Add (n, columns) rows."""
        self._cells.frombytes(np.ascontiguousarray(rows, np.float64).tobytes())

    def rows(self) -> np.ndarray:
        """(n, columns) float64, a copy."""
        return np.array(self._cells, np.float64).reshape(-1, len(self.columns))

    def by_column(self) -> dict[str, np.ndarray]:
        """Column name → (n,) float64."""
        return dict(zip(self.columns, np.ascontiguousarray(self.rows().T), strict=True))
