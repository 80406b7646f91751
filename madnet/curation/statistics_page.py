"""Measured parts as a page of figures and tables."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from madnet.curation import comparison
from madnet.curation.comparison import Comparison, as_text, facts, quantiles
from madnet.curation.measures import FREQUENCIES, MEASURES, Measured
from madnet.curation.sources import Part
from madnet.visualization.distributions import Line, draw_cumulative, draw_positions, draw_spectrum
from madnet.visualization.figure import colour_scheme, svg_text
from madnet.visualization.page import render_page

FACTS = (
    *('images', 'without target', 'width × height', 'grey values', 'targets', 'of one pixel'),
    *('at the border', 'dark', 'SCR < 2'),
)
#: Measures that the maps of positions show better than a curve.
_ON_MAPS = ('across', 'down')


@dataclass(frozen=True)
class _Shown:
    """A figure as the page needs it; ``rows`` are line, name, and three numbers as text, of each part."""

    id: str
    head: str
    svg: str
    caption: str
    alt: str
    head_of_values: str = ''
    rows: Sequence[tuple[Line, str, list[str]]] = ()


def statistics_page(
    parts: Sequence[tuple[Part, Measured]], comparisons: Sequence[Comparison], title: str
) -> str:
    """The page as HTML."""
    sets = list(dict.fromkeys(part.set_name for part, _ in parts))
    lines: list[Line] = []
    for part, _ in parts:
        before = [p.set_name for p, _ in parts][: len(lines)]
        lines.append(Line.of(sets.index(part.set_name), before.count(part.set_name)))
    figures = [_cumulative(key, parts, lines) for key in MEASURES if key not in _ON_MAPS]
    figures.append(_spectrum(parts, lines))
    return render_page(
        'statistics.html',
        title,
        scheme=colour_scheme(':root'),
        comparisons=comparisons,
        measures=MEASURES,
        facts_head=FACTS,
        facts=[(line, part.name, _fact_cells(m)) for line, (part, m) in zip(lines, parts, strict=True)],
        target_figures=[f for f in figures if f.id in MEASURES and MEASURES[f.id].of == 'target'],
        image_figures=[f for f in figures if f.id not in MEASURES or MEASURES[f.id].of == 'image'],
        positions=[_positions(name, [m for p, m in parts if p.set_name == name]) for name in sets],
    )


def _fact_cells(measured: Measured) -> list[str]:
    found = facts(measured)
    return [
        f'{found["images"]:,}',
        f'{found["images_without_target"]:,}',
        comparison.sizes_text(measured),
        f'{found["lowest_grey"]:.0f}–{found["highest_grey"]:.0f}',
        f'{found["targets"]:,}',
        *(_percent(found[key]) for key in ('one_pixel', 'at_border', 'darker', 'scr_below_2')),
    ]


def _percent(share: float) -> str:
    return '–' if np.isnan(share) else f'{100 * share:.1f} %'


def _rows(key: str, parts: Sequence[tuple[Part, Measured]], lines: Sequence[Line]) -> list:
    return [
        (line, part.name, [as_text(v) for v in quantiles(measured.values[key])])
        for line, (part, measured) in zip(lines, parts, strict=True)
    ]


def _cumulative(key: str, parts: Sequence[tuple[Part, Measured]], lines: Sequence[Line]) -> _Shown:
    measure = MEASURES[key]
    head = f'{measure.name[0].upper()}{measure.name[1:]}'
    label = f'{measure.name} ({measure.unit})' if measure.unit else measure.name
    groups = [(m.values[key], line) for line, (_, m) in zip(lines, parts, strict=True)]
    what = f'{measure.of}s'
    svg = svg_text(draw_cumulative(groups, label, what, measure.log))
    caption = f'{measure.about} Share of {what} with at most this value.'
    alt = f'Cumulative distribution of {label} over {what}'
    return _Shown(key, head, svg, caption, alt, 'quantiles', _rows(key, parts, lines))


def _spectrum(parts: Sequence[tuple[Part, Measured]], lines: Sequence[Line]) -> _Shown:
    groups = [(comparison.spectrum_quantiles(m), line) for line, (_, m) in zip(lines, parts, strict=True)]
    band = '; bands hold 80 % of the images' if len(groups) <= 3 else ''
    caption = (
        f'Power density of the backgrounds over spatial frequency: median over images{band}. White noise is '
        'level, smooth clutter falls steeply. Below: the slope β of 1/f^β.'
    )
    svg = svg_text(draw_spectrum(groups, FREQUENCIES))
    alt = 'Radially averaged power spectra of the backgrounds'
    return _Shown(
        'spectrum', 'Background spectrum', svg, caption, alt, 'slope β', _rows('slope', parts, lines)
    )


def _positions(name: str, measured: Sequence[Measured]) -> _Shown:
    across, down = (np.concatenate([m.values[key] for m in measured]) for key in _ON_MAPS)
    svg = svg_text(draw_positions(across, down))
    caption = f'{len(across):,} targets.'
    return _Shown(f'map-{name}', name, svg, caption, f'Density of target positions in {name}')
