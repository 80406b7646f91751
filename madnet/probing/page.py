"""A probe as a page: expectations, one table, and a curve and a strip of pictures for each change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from madnet.images import encode_png
from madnet.probing.running import shown_values
from madnet.records import ProbeFile, ProbePoint, ProbeSweep
from madnet.visualization.distributions import Line
from madnet.visualization.figure import colour_scheme, series_style, svg_text
from madnet.visualization.page import render_page
from madnet.visualization.sweep_plots import draw_sweep


@dataclass(frozen=True)
class _Shown:
    """A sweep as the page needs it; ``rows`` are the cells of a table."""

    key: str
    title: str
    about: str
    axis: str
    svg: str
    strip: bytes
    shown: Sequence[str]
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]


def probe_page(probes: Mapping[str, ProbeFile], strips: Mapping[str, np.ndarray]) -> str:
    """The page as HTML.

    Args:
        probes: Label → what was found; all of the same frames. The first is what the page is about.
        strips: Sweep → pictures of the first, (H, W, 3), BGR.
    """
    (label, first), *_ = probes.items()
    styles = map(series_style, range(len(probes)))
    lines = [(name, Line(s['color'], s['linestyle'])) for name, s in zip(probes, styles, strict=True)]
    rows = [
        row
        for sweep in first.sweeps
        for number, row in enumerate(_rows(sweep, probes))
        if number == 0 or row[1]
    ]
    return render_page(
        'probe.html',
        f'How {label} behaves',
        scheme=colour_scheme(':root'),
        lines=lines,
        expectations=[(name, line, probes[name].checks) for name, line in lines if probes[name].checks],
        rows=rows,
        figures=[_shown(sweep, probes, strips[sweep.key]) for sweep in first.sweeps],
        facts=_facts(first),
    )


def table_rows(probe: ProbeFile) -> list[list[str]]:
    """A row of text for each sweep: what is changed, and the cells of :data:`HEADS`."""
    return [[sweep.title, *_cells(sweep)] for sweep in probe.sweeps]


#: Heads of the columns of :func:`table_rows`.
HEADS = ('changed', 'Pd %', 'worst', 'at', '50 % at', 'false/Mpx', 'worst', 'at')


def _cells(sweep: ProbeSweep) -> list[str]:
    reference, worst = sweep.reference, sweep.worst
    alarming = max(sweep.points, key=lambda p: p.alarms)
    return [
        _percent(reference),
        _percent(worst),
        _value(worst),
        '' if sweep.half is None else f'{sweep.half:.3g}',
        '' if reference is None else f'{reference.alarms:.2f}',
        f'{alarming.alarms:.2f}',
        _value(alarming) if alarming.alarms else '',
    ]


def _rows(sweep: ProbeSweep, probes: Mapping[str, ProbeFile]) -> list[tuple[str, list[str], str]]:
    rows: list[tuple[str, list[str], str]] = []
    for label, probe in probes.items():
        own = probe.sweep(sweep.key)
        if own is not None:
            name = [label] if len(probes) > 1 else []
            rows.append(('' if rows else sweep.title, [*name, *_cells(own)], sweep.key))
    return rows


def _percent(point: ProbePoint | None) -> str:
    return '' if point is None or point.pd is None else f'{100 * point.pd:.1f}'


def _value(point: ProbePoint | None) -> str:
    return '' if point is None else point.label or f'{point.value:g}'


def _shown(sweep: ProbeSweep, probes: Mapping[str, ProbeFile], strip: np.ndarray) -> _Shown:
    sweeps = {label: s for label, p in probes.items() if (s := p.sweep(sweep.key)) is not None}
    heads, columns = [], []
    for label, one in sweeps.items():
        name = f'{label}: ' if len(sweeps) > 1 else ''
        heads += [f'{name}Pd %', f'{name}of', f'{name}false']
        columns.append(
            {p.value: (_percent(p), str(p.pairs or p.targets), str(p.false_components)) for p in one.points}
        )
    rows = [
        [_value(point), *(cell for column in columns for cell in column.get(point.value, ('', '', '')))]
        for point in sweep.points
    ]
    svg = svg_text(draw_sweep(sweeps))
    shown = [_value(sweep.points[k]) for k in shown_values(len(sweep.points))]
    return _Shown(sweep.key, sweep.title, sweep.about, sweep.axis, svg, encode_png(strip), shown, heads, rows)


def _facts(probe: ProbeFile) -> list[tuple[str, str]]:
    material = probe.material
    origin = ', '.join(f'{k} {v}' for k, v in probe.detector.items() if k != 'name')
    split = '' if material['name'] == 'synthetic' else f' {material["split"]}'
    given = material.get('value_range')
    return [
        ('detector', f'{probe.detector["name"]}{f" ({origin})" if origin else ""}'),
        ('threshold', f'{probe.threshold:g}'),
        ('frames', f'{material["frames"]} of {material["name"]}{split}, seed {probe.seed}'),
        ('value range', '{:g} to {:g}'.format(*given) if given else 'by the type of the files'),
    ]
