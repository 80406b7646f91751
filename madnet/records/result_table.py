"""One table of results as plain text, Markdown, CSV, LaTeX and HTML cells."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from madnet.files import write_whole
from madnet.records.columns import HEADLINE, Column, Value, is_known, may_lead, mean_of, present, value_of
from madnet.text import csv_text, markdown_text, printable

#: This many numbers beside the method fit one column of a paper of two.
MOST_OF_ONE_COLUMN = 4


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
        protocol: Name of the protocol that all rows share; empty where each row names its own.
        rows: Label → metrics as in ``metrics.json`` (fractions); a tuple starts with mean and standard
            deviation.
        keys: Metrics to show; those that no row has are left out.
        head: Head of the column of labels.
        intervals: Label → metric → (low, high), for those that have a confidence interval.
        ranked: Whether rows may be compared: best in bold, second of three or more underlined.
        notes: Sentences for the caption of a paper: what the protocol reproduces, what ± means.
    """

    caption: str
    protocol: str
    rows: Mapping[str, Mapping[str, Value]]
    keys: Sequence[str] = HEADLINE
    head: str = 'method'
    intervals: Mapping[str, Mapping[str, Sequence[float | None]]] = field(default_factory=dict)
    ranked: bool = True
    notes: Sequence[str] = ()
    columns: list[Column] = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, 'columns', present(self.keys, list(self.rows.values())))

    @property
    def title(self) -> str:
        """Caption with the protocol."""
        return f'{self.caption}. Protocol: {self.protocol}.' if self.protocol else f'{self.caption}.'

    def cells(self) -> list[tuple[str, list[Cell]]]:
        """Rows of label and cells; a column ranks what it prints: where prints tie, nobody has that place."""
        ranks = [self._ranks(c) for c in self.columns]
        return [
            (
                label,
                [
                    Cell(c.text(value_of(row, c.key)), rank[i], self._interval(label, c))
                    for c, rank in zip(self.columns, ranks, strict=True)
                ],
            )
            for i, (label, row) in enumerate(self.rows.items())
        ]

    def _interval(self, label: str, c: Column) -> str:
        ends = self.intervals.get(label, {}).get(c.key) or ()
        return ' – '.join(map(c.text, ends)) if len(ends) == 2 and all(map(is_known, ends)) else ''

    def _ranks(self, c: Column) -> list[int]:
        values = [
            _printed(c, value_of(row, c.key)) if may_lead(row, c.key) else None for row in self.rows.values()
        ]
        known = sorted((v for v in values if v is not None), reverse=c.better == 'higher')
        if not (self.ranked and c.ranked and c.better) or len(known) < 2:
            return [0] * len(values)
        # the second of two is the last
        places = {v: place for place, v in enumerate(known[: 1 if len(known) < 3 else 2], 1)}
        return [places[v] if v in places and known.count(v) == 1 else 0 for v in values]

    def cost_points(self, key: str) -> dict[str, tuple[float, float, float | None]]:
        """Label → (MACs, value of a metric, its standard deviation if known) of the rows that have both."""
        points = {}
        for label, row in self.rows.items():
            value, macs = value_of(row, key), row.get('MACs')
            mean, std = value[:2] if isinstance(value, (tuple, list)) else (value, None)
            if isinstance(macs, (int, float)) and macs and isinstance(mean, (int, float)) and is_known(mean):
                points[label] = (macs, mean, std)
        return points

    def markdown(self) -> str:
        """A GitHub table under its title: best in bold, second underlined."""
        marks = ('{}', '**{}**', '<u>{}</u>')
        rows = [
            [markdown_text(label), *(marks[c.rank].format(c.text) for c in cells)]
            for label, cells in self.cells()
        ]
        head = [markdown_text(self.head), *(c.head for c in self.columns)]
        return f'{markdown_text(self.title)}\n\n{markdown_table(head, rows, range(1, len(head)))}'

    def csv(self) -> str:
        """Comma-separated, in the units of the other forms; an empty cell where there is no number."""
        protocol = {'protocol': self.protocol} if self.protocol else {}
        rows = [[self.head, *protocol, *(c.title for c in self.columns)]]
        for label, cells in self.cells():
            rows.append([label, *protocol.values(), *('' if c.text == '–' else c.text for c in cells)])
        return csv_text(rows)

    def latex(self, label: str = '') -> str:
        """A ``table`` for ``booktabs``, a ``table*`` over both columns where it has many; ``label`` is for
        ``\\ref``."""
        marks = ('{}', r'\textbf{{{}}}', r'\underline{{{}}}')
        wide = '*' if len(self.columns) > MOST_OF_ONE_COLUMN else ''
        caption = latex_escape(' '.join(filter(None, [self.title, *self.notes, *self._legend()])))
        lines = [
            r'% needs \usepackage{booktabs}',
            *([r'% table* spans both columns of a page; --columns IoU,nIoU,F1 fits one'] if wide else []),
            rf'\begin{{table{wide}}}[t]',
            r'  \centering',
            rf'  \caption{{{caption}}}',
            *([rf'  \label{{{label}}}'] if label else []),
            rf'  \begin{{tabular}}{{l{"r" * len(self.columns)}}}',
            r'    \toprule',
            '    ' + ' & '.join([latex_escape(self.head), *map(_latex_head, self.columns)]) + r' \\',
            r'    \midrule',
        ]
        for name, cells in self.cells():
            texts = [
                marks[c.rank].format(c.text.replace(' ± ', r'\,$\pm$\,').replace('–', '--')) for c in cells
            ]
            lines.append('    ' + ' & '.join([latex_escape(name), *texts]) + r' \\')
        lines += [r'    \bottomrule', r'  \end{tabular}', rf'\end{{table{wide}}}']
        return '\n'.join(lines) + '\n'

    def _legend(self) -> list[str]:
        """What the caption has to say about the marks that occur."""
        cells = [cell for _, row in self.cells() for cell in row]
        ranks = {cell.rank for cell in cells}
        bold = (
            ['Bold: best of its column' + ('; underlined: second.' if 2 in ranks else '.')]
            if 1 in ranks
            else []
        )
        spread = any(' ± ' in cell.text for cell in cells) and '±' not in self.caption
        return bold + (['±: sample standard deviation over training runs.'] if spread else [])

    def write(self, folder: Path, stem: str) -> None:
        """Write ``<stem>.md``, ``.csv`` and ``.tex`` under a folder, made where it is missing."""
        for ending, text in (
            ('md', self.markdown()),
            ('csv', self.csv()),
            ('tex', self.latex(f'tab:{stem}')),
        ):
            write_whole(folder / f'{stem}.{ending}', text)


def metrics_text(results: Mapping[str, Mapping[str, Value]], head: str = 'protocol') -> str:
    """A table for the terminal: one row for each protocol or method, :data:`HEADLINE` as far as it is known.

    Args:
        results: Label → metrics as in ``metrics.json`` (fractions).
        head: Head of the column of labels.
    """
    columns = present(HEADLINE, [*results.values()])
    rows = [[name, *(c.text(value_of(row, c.key)) for c in columns)] for name, row in results.items()]
    return text_table([[head, *(c.title for c in columns)], *rows])


def text_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of text in aligned columns, the first to the left and all others to the right."""
    rows = [list(map(printable, row)) for row in rows]
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    lines = []
    for first, *rest in rows:
        cells = [first.ljust(widths[0]), *(c.rjust(w) for c, w in zip(rest, widths[1:], strict=True))]
        lines.append('  '.join(cells).rstrip())
    return '\n'.join(lines)


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> str:
    """A GitHub table, with a newline at its end.

    Args:
        head: A cell for each column.
        rows: As many cells each.
        right: Indices of the columns that are set to the right.
    """
    right = set(right)
    rule = ['---:' if i in right else '---' for i in range(len(head))]
    escaped = ([cell.replace('|', r'\|') for cell in row] for row in rows)
    return ''.join(f'| {" | ".join(row)} |\n' for row in (head, rule, *escaped))


def latex_escape(text: str) -> str:
    """Plain text made safe for LaTeX."""
    special = {c: '\\' + c for c in '&%$#_{}'}
    special |= {'\\': r'\textbackslash{}', '~': r'\textasciitilde{}', '^': r'\textasciicircum{}'}
    # the old font encoding, still LaTeX's default, has other signs in their places
    special |= {'<': r'\textless{}', '>': r'\textgreater{}', '|': r'\textbar{}'}
    special |= {'–': '--', '×': r'$\times$', '≥': r'$\geq$', '≤': r'$\leq$', '±': r'$\pm$'}
    quoted = re.sub(r'"([^"]*)"', r"``\1''", printable(text))
    return ''.join(special.get(c, c) for c in quoted)


def slug(text: str) -> str:
    """A text as a file name: small letters of any script, digits and underscores."""
    return re.sub(r'[\W_]+', '_', text.lower()).strip('_')


def unused(stem: str, taken: set[str]) -> str:
    """A stem, numbered where it is taken already; it is taken from then on."""
    name = next(n for k in count(1) if (n := stem if k == 1 else f'{stem}_{k}') not in taken)
    taken.add(name)
    return name


def _latex_head(c: Column) -> str:
    arrow = {'↑': r' $\uparrow$', '↓': r' $\downarrow$', '': ''}[c.arrow]
    return (c.latex or f'{latex_escape(c.key)} ({latex_escape(c.unit)})') + arrow


def _printed(c: Column, value: Value) -> float | None:
    """The value as a reader sees it, to compare by."""
    if not is_known(value):
        return None
    return float(c.text(mean_of(value)))
