"""One table of results as Markdown, CSV, LaTeX, HTML cells and plain text."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from madnet.evaluation.summary import results_text

Value = float | tuple | None


@dataclass(frozen=True)
class Column:
    """How one metric stands in a table.

    Attributes:
        key: Its name in ``metrics.json``.
        unit: Behind the name in the head: ``'%'``, ``'×1e-6'`` or nothing.
        scale: What the stored fraction is multiplied with.
        decimals: Digits behind the point.
        better: ``'higher'``, ``'lower'``, or None where neither is better.
        latex: The head in LaTeX, without its arrow; default the key and the unit.
    """

    key: str
    unit: str = '%'
    scale: float = 100.0
    decimals: int = 2
    better: str | None = 'higher'
    latex: str = ''

    @property
    def head(self) -> str:
        """Name, unit and the direction that is better."""
        arrow = {'higher': '↑', 'lower': '↓', None: ''}[self.better]
        return ' '.join(part for part in (self.key, self.unit, arrow) if part)

    @property
    def latex_head(self) -> str:
        """The same for LaTeX."""
        arrow = {'higher': r' $\uparrow$', 'lower': r' $\downarrow$', None: ''}[self.better]
        return (self.latex or f'{latex_escape(self.key)} ({latex_escape(self.unit)})') + arrow

    def text(self, value: Value, plus_minus: str = ' ± ') -> str:
        """A value as it is printed; ``–`` where there is none; of a tuple, mean and standard deviation."""
        if isinstance(value, (tuple, list)):
            mean, std = value[:2]
            return f'{self.text(mean)}{plus_minus}{self.text(std)}' if _known(mean) else '–'
        return f'{value * self.scale:.{self.decimals}f}' if _known(value) else '–'


def _count(key: str) -> Column:
    return Column(key, unit='', scale=1, decimals=0, better=None, latex=key)


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
        Column('AUC'),
        Column('AP'),
        Column('hIoU'),
        Column('AP50', latex=r'AP$_{50}$ (\%)'),
        Column('AP50-95', latex=r'AP$_{50\text{--}95}$ (\%)'),
        Column('AP_centre', latex=r'AP$_\mathrm{centre}$ (\%)'),
        _count('targets'),
        _count('matched'),
        _count('images'),
        Column('parameters', 'M', 1e-6, 3, better='lower'),
        Column('MACs', 'G', 1e-9, 3, better='lower'),
        Column('latency', 'ms', 1e3, 1, better='lower'),
    )
}

HEADLINE = ('IoU', 'nIoU', 'F1', 'precision', 'recall', 'Pd', 'Fa', 'AUC')

#: What a network costs: numbers, multiply-accumulates and seconds for one image, as ``cost.json`` holds them.
COST = ('parameters', 'MACs', 'latency')


def cost_of_views(cost: Mapping, views: int) -> dict:
    """What averaging several views costs, from the cost of one; its latency is not known from that."""
    if views == 1:
        return dict(cost)
    return {k: v * views if k == 'MACs' else v for k, v in cost.items() if k not in ('latency', 'device')}


@dataclass(frozen=True)
class Cell:
    """One number as printed.

    Attributes:
        text: The number.
        rank: Its place in its column: 1 best, 2 second, 0 neither.
        interval: Its confidence interval, ``''`` where there is none.
    """

    text: str
    rank: int = 0
    interval: str = ''


@dataclass(frozen=True)
class ResultTable:
    """Numbers of one data set under one protocol, one row for each method.

    Attributes:
        caption: What was measured on what; the protocol is put behind it wherever it is shown.
        protocol: Name of the protocol that all rows share.
        rows: Label → metrics as in ``metrics.json`` (fractions); a tuple starts with mean and standard
            deviation.
        keys: Metrics to show; those that no row has are left out.
        head: Head of the column of labels.
        intervals: Label → metric → (low, high), for those that have a confidence interval.
        ranked: Whether rows may be compared: best in bold, second underlined.
    """

    caption: str
    protocol: str
    rows: Mapping[str, Mapping[str, Value]]
    keys: Sequence[str] = HEADLINE
    head: str = 'method'
    intervals: Mapping[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)
    ranked: bool = True
    columns: list[Column] = field(init=False)

    def __post_init__(self):
        present = [k for k in self.keys if any(_known(row.get(k)) for row in self.rows.values())]
        object.__setattr__(self, 'columns', [COLUMNS.get(k) or Column(k) for k in present])

    @property
    def title(self) -> str:
        """Caption with the protocol."""
        return f'{self.caption}. Protocol: {self.protocol}.'

    def cells(self) -> list[tuple[str, list[Cell]]]:
        """Rows of label and cells; a column ranks what it prints, so equal prints share their rank."""
        ranks = [self._ranks(column) for column in self.columns]
        return [
            (
                label,
                [
                    Cell(column.text(row.get(column.key)), rank[i], self._interval(label, column))
                    for column, rank in zip(self.columns, ranks, strict=True)
                ],
            )
            for i, (label, row) in enumerate(self.rows.items())
        ]

    def _interval(self, label: str, column: Column) -> str:
        ends = self.intervals.get(label, {}).get(column.key) or ()
        return ' – '.join(column.text(v) for v in ends) if len(ends) == 2 and all(map(_known, ends)) else ''

    def _ranks(self, column: Column) -> list[int]:
        values = [_printed(column, row.get(column.key)) for row in self.rows.values()]
        distinct = sorted({v for v in values if v is not None}, reverse=column.better == 'higher')
        if not self.ranked or column.better is None or sum(v is not None for v in values) < 2:
            return [0] * len(values)
        places = {v: place for place, v in enumerate(distinct[:2], 1)}
        # where two or more share the best place, nobody is second
        if values.count(distinct[0]) > 1:
            places = {distinct[0]: 1}
        return [places.get(v, 0) for v in values]

    def markdown(self) -> str:
        """A GitHub table: best in bold, second underlined."""
        marks = ('{}', '**{}**', '<u>{}</u>')
        lines = [
            self.title,
            '',
            _piped([self.head, *(c.head for c in self.columns)]),
            _piped(['---', *('---:' for _ in self.columns)]),
        ]
        for label, cells in self.cells():
            texts = [marks[cell.rank].format(cell.text) for cell in cells]
            lines.append(_piped([label.replace('|', r'\|'), *texts]))
        return '\n'.join(lines) + '\n'

    def csv(self) -> str:
        """Comma-separated, in the units of the other forms; an empty cell where there is no number."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator='\n')
        writer.writerow(
            [self.head, 'protocol', *(' '.join(filter(None, (c.key, c.unit))) for c in self.columns)]
        )
        for label, cells in self.cells():
            writer.writerow([label, self.protocol, *('' if c.text == '–' else c.text for c in cells)])
        return out.getvalue()

    def latex(self, label: str = '') -> str:
        """A ``table`` for ``booktabs``: best in bold, second underlined; ``label`` is for ``\\ref``."""
        marks = ('{}', r'\textbf{{{}}}', r'\underline{{{}}}')
        lines = [
            r'\begin{table}[t]',
            r'  \centering',
            rf'  \caption{{{latex_escape(self.title)}}}',
            *([rf'  \label{{{label}}}'] if label else []),
            rf'  \begin{{tabular}}{{l{"r" * len(self.columns)}}}',
            r'    \toprule',
            '    ' + ' & '.join([latex_escape(self.head), *(c.latex_head for c in self.columns)]) + r' \\',
            r'    \midrule',
        ]
        for name, cells in self.cells():
            texts = [
                marks[c.rank].format(c.text.replace(' ± ', r'\,$\pm$\,').replace('–', '--')) for c in cells
            ]
            lines.append('    ' + ' & '.join([latex_escape(name), *texts]) + r' \\')
        lines += [r'    \bottomrule', r'  \end{tabular}', r'\end{table}']
        return '\n'.join(lines) + '\n'


def metrics_table(results: Mapping[str, Mapping[str, float]], head: str = '') -> str:
    """A table for the terminal, one row for each protocol or run.

    Args:
        results: Label → metrics as in ``metrics.json`` (fractions).
        head: Head of the column of labels.
    """
    return results_text(results, head)


def latex_escape(text: str) -> str:
    """Plain text made safe for LaTeX."""
    special = {c: '\\' + c for c in '&%$#_{}'}
    special |= {'\\': r'\textbackslash{}', '~': r'\textasciitilde{}', '^': r'\textasciicircum{}'}
    special |= {'–': '--', '×': r'$\times$', '≥': r'$\geq$', '≤': r'$\leq$', '±': r'$\pm$'}
    return ''.join(special.get(c, c) for c in text)


def _piped(cells: Sequence[str]) -> str:
    return '| ' + ' | '.join(cells) + ' |'


def _known(value: Value) -> bool:
    if isinstance(value, (tuple, list)):
        value = value[0]
    return value is not None and math.isfinite(value)


def _printed(column: Column, value: Value) -> float | None:
    """The value as a reader sees it, to compare by."""
    if isinstance(value, (tuple, list)):
        value = value[0]
    return float(column.text(value)) if _known(value) else None
