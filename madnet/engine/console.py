"""Numbers for people at a terminal."""

import math
from collections.abc import Mapping

from prettytable import PrettyTable

# name → (heading, factor, decimals): fractions are shown in percent, Fa in units of 1e-6
_COLUMNS = {
    'IoU': ('IoU %', 100, 2),
    'nIoU': ('nIoU %', 100, 2),
    'precision': ('precision %', 100, 2),
    'recall': ('recall %', 100, 2),
    'F1': ('F1 %', 100, 2),
    'Pd': ('Pd %', 100, 2),
    'Fa': ('Fa 1e-6', 1e6, 2),
    'AUC': ('AUC', 1, 4),
    'targets': ('targets', 1, 0),
}


def metrics_table(rows: Mapping[str, Mapping[str, float]], first: str = 'protocol') -> str:
    """A table of metrics for a terminal.

    Args:
        rows: Name of a row → metrics as fractions, as :func:`madnet.evaluation.evaluate` gives them; what a
            row does
            not define shows as a dash, what no row defines has no column.
        first: Heading of the first column.

    Returns:
        The table's lines.
    """
    shown = [c for c in _COLUMNS if any(_defined(row.get(c)) for row in rows.values())]
    table = PrettyTable([first, *(_COLUMNS[c][0] for c in shown)])
    table.align = 'r'
    table.align[first] = 'l'
    for name, row in rows.items():
        cells = []
        for column in shown:
            _, factor, decimals = _COLUMNS[column]
            value = row.get(column)
            cells.append(f'{factor * value:.{decimals}f}' if _defined(value) else '–')
        table.add_row([name, *cells])
    return table.get_string()


def _defined(value: float | None) -> bool:
    return value is not None and not math.isnan(value)
