"""The columns of every table: each metric with its unit, its decimals, and which direction is better."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from madnet.errors import UserError, nearest


class Spread(NamedTuple):
    """A number over several seeds.

    Attributes:
        mean: Over the seeds; None where it is undefined.
        std: The standard deviation of a sample; None for one seed.
        n: Seeds.
    """

    mean: float | None
    std: float | None
    n: int


Value = float | Spread | tuple | None


@dataclass(frozen=True)
class Column:
    """How one metric stands in a table.

    Attributes:
        key: Its name in ``metrics.json``.
        unit: Behind the name in the head: ``'%'``, ``'×1e-6'`` or nothing.
        scale: What the stored number is multiplied by.
        decimals: Digits behind the point.
        better: ``'higher'``, ``'lower'``, or None where neither is better.
        latex: The head in LaTeX, without its arrow; default the key and the unit.
        name: How the head calls it; default the key.
        ranked: Whether it may say which of several methods is best.
    """

    key: str
    unit: str = '%'
    scale: float = 100.0
    decimals: int = 2
    better: str | None = 'higher'
    latex: str = ''
    name: str = ''
    ranked: bool = True

    @property
    def title(self) -> str:
        """Name and unit."""
        return ' '.join(part for part in (self.name or self.key, self.unit) if part)

    @property
    def head(self) -> str:
        """Name, unit and the direction that is better."""
        return f'{self.title} {self.arrow}'.rstrip()

    @property
    def arrow(self) -> str:
        """The direction that is better; empty where neither is."""
        return {'higher': '↑', 'lower': '↓', None: ''}[self.better]

    def text(self, value: Value) -> str:
        """A value as it is printed; ``–`` where there is none; for a spread, mean and deviation."""
        if isinstance(value, (tuple, list)):
            mean, std = value[:2]
            return f'{self.text(mean)} ± {self.text(std)}' if is_known(mean) else '–'
        return f'{value * self.scale:.{self.decimals}f}' if value is not None and is_known(value) else '–'


def is_known(value: Value) -> bool:
    """Whether there is a finite number."""
    number = mean_of(value)
    return number is not None and math.isfinite(number)


def _count(key: str, better: str | None = None) -> Column:
    return Column(key, unit='', scale=1, decimals=0, better=better, latex=key)


#: Every metric that a table knows, in the order of the field's papers.
COLUMNS: dict[str, Column] = {
    c.key: c
    for c in (
        Column('IoU'),
        Column('nIoU'),
        Column('F1', latex=r'$F_1$ (\%)'),
        Column('precision'),
        Column('recall'),
        Column('Pd', latex=r'$P_d$ (\%)'),
        Column('Fa', '×1e-6', 1e6, better='lower', latex=r'$F_a$ ($10^{-6}$)'),
        Column(
            'false_per_image',
            unit='',
            scale=1,
            better='lower',
            latex='false alarms per image',
            name='false/image',
        ),
        # the background of a low-rank method ties with its missed targets at 0, a filter's does not: their
        # curves cover different ranges of false positives, so the larger area is not the better detector
        Column('AUC', ranked=False),
        Column('AP'),
        Column('hIoU'),
        Column('AP50', latex=r'AP$_{50}$ (\%)'),
        Column('AP50-95', latex=r'AP$_{50\text{--}95}$ (\%)'),
        Column('AP_centre', latex=r'AP$_\mathrm{centre}$ (\%)'),
        _count('targets'),
        _count('matched'),
        _count('images'),
        _count('pixels'),
        _count('false_components', 'lower'),
        _count('false_pixels', 'lower'),
        Column('parameters', 'M', 1e-6, 3, better='lower'),
        Column('MACs', 'G', 1e-9, 3, better='lower'),
        Column('latency', 'ms', 1e3, 1, better='lower'),
    )
}

#: What is undefined, or says nothing, where a set has no target.
NEED_TARGETS = {
    *('IoU', 'nIoU', 'F1', 'precision', 'recall', 'Pd', 'AUC', 'AP', 'hIoU', 'AP50', 'AP50-95', 'AP_centre')
}
#: What a table of results shows, as far as its rows have it.
HEADLINE = ('IoU', 'nIoU', 'F1', 'precision', 'recall', 'Pd', 'Fa', 'AUC')
#: What fits beside other columns.
SHORT = ('IoU', 'nIoU', 'F1', 'Pd', 'Fa')
#: What a network costs: parameters, multiply-accumulates and seconds for one image.
COST = ('parameters', 'MACs', 'latency')


def column(key: str) -> Column:
    """The column of a metric; a fraction in percent where the metric is not in the table."""
    return COLUMNS.get(key) or Column(key, better='lower' if key.endswith('_error') else 'higher')


def get_columns(names: str) -> tuple[str, ...]:
    """The metrics of a list with commas, such as ``'IoU,nIoU,F1'``, in its order.

    Raises:
        UserError: A name is of no metric.
    """
    keys = [name.strip() for name in names.split(',') if name.strip()]
    known = {key.lower(): key for key in COLUMNS}
    for key in keys:
        if key.lower() not in known:
            raise UserError(f'no column {key!r}: there are {", ".join(COLUMNS)}.{nearest(key, COLUMNS)}')
    if not keys:
        raise UserError(f'found no column in {names!r}: there are {", ".join(COLUMNS)}.')
    return tuple(dict.fromkeys(known[key.lower()] for key in keys))


def as_text(key: str, value: Value) -> str:
    """One number as people read it; ``–`` where it is undefined."""
    return column(key).text(value)


def present(keys: Sequence[str], rows: Sequence) -> list[Column]:
    """The columns of those metrics that any of the rows has; with false alarms per image after Fa where a row
    is of a set without targets, of which they and Fa are all there is to say."""
    keys = [*keys]
    if 'Fa' in keys and 'false_per_image' not in keys and any(map(has_no_target, rows)):
        keys.insert(keys.index('Fa') + 1, 'false_per_image')
    return [column(k) for k in keys if any(is_known(value_of(row, k)) for row in rows)]


def has_no_target(row: Mapping[str, Value]) -> bool:
    """Whether a row's numbers are of a set that holds no target."""
    return mean_of(row.get('targets')) == 0


def may_lead(row: Mapping[str, Value], key: str) -> bool:
    """Whether a row may be called the best by a metric: who finds no target makes no other error either."""
    found = row.get('Pd')
    of_errors = column(key).better == 'lower' and key not in COST
    return not (of_errors and is_known(found) and mean_of(found) == 0)


def mean_of(value: Value) -> float | None:
    """A number, or that of a spread."""
    return value[0] if isinstance(value, (tuple, list)) else value


def value_of(row: Mapping[str, Value], key: str) -> Value:
    """A row's number; None where it is undefined, as an IoU is where there is no target."""
    return None if key in NEED_TARGETS and has_no_target(row) else row.get(key)
