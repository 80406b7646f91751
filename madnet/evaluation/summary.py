"""Results as plain text for a terminal: percent with two decimals, Fa in units of 1e-6."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

#: The columns of the table, in the order of the field's papers.
HEADLINE = ('IoU', 'nIoU', 'F1', 'precision', 'recall', 'Pd', 'Fa', 'AUC')


def as_text(metric: str, value: float | None) -> str:
    """One number as people read it; ``–`` where it is undefined."""
    if value is None or not math.isfinite(value):
        return '–'
    return f'{value * 1e6:.2f}' if metric == 'Fa' else f'{value * 100:.2f}'


def title(metric: str) -> str:
    """A metric's name with its unit."""
    return f'{metric} ×1e-6' if metric == 'Fa' else f'{metric} %'


def results_text(results: Mapping[str, Mapping[str, float]], head: str = 'protocol') -> str:
    """A table with one row per protocol (or method) and the ``HEADLINE`` metrics that any of them has."""
    metrics = [m for m in HEADLINE if any(m in r for r in results.values())]
    rows = [[name, *(as_text(m, r.get(m)) for m in metrics)] for name, r in results.items()]
    return columns([[head, *map(title, metrics)], *rows])


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of text in aligned columns, the first to the left and all others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *rest in rows:
        cells = [first.ljust(widths[0]), *(c.rjust(w) for c, w in zip(rest, widths[1:], strict=True))]
        lines.append('  '.join(cells).rstrip())
    return '\n'.join(lines)
