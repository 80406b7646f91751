"""Distributions of several data sets in one picture, for pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from madnet.visualization.figure import css_colours, new_figure, page_style
from madnet.visualization.palette import LINE_STYLES, SERIES


@dataclass(frozen=True)
class Line:
    """How a group is drawn: the colour says which data set it is of, the dashes which part."""

    colour: str  # as #rrggbb
    dashes: str | tuple  # a line style of matplotlib

    @classmethod
    def of(cls, set_index: int, part_index: int) -> Line:
        """The line of a data set's part, by their numbers; from the ninth set on the colours come again with
        other dashes."""
        again, colour = divmod(set_index, len(SERIES))
        return cls(SERIES[colour], LINE_STYLES[(part_index + 3 * again) % len(LINE_STYLES)])

    @property
    def style(self) -> dict[str, Any]:
        """The same as arguments of matplotlib's ``plot``."""
        return {'color': self.colour, 'linestyle': self.dashes, 'linewidth': 1.3}

    @property
    def css(self) -> str:
        """The same as the style of an SVG line of width 2."""
        gaps = {'-': 'none', '--': '8 3', '-.': '8 3 2 3', ':': '2 3'}
        dash = gaps[self.dashes] if self.dashes in gaps else ' '.join(str(2 * n) for n in self.dashes[1])
        return css_colours(f'stroke: {self.colour}; stroke-dasharray: {dash}; stroke-width: 2')


def draw_cumulative(
    groups: Sequence[tuple[np.ndarray, Line]], label: str, what: str, log: bool = False
) -> Figure:
    """Share of values that are at most x, a line for each group; without a legend.

    Args:
        groups: Values and line of each; NaN is left out, infinite values count but are not drawn.
        label: Of the horizontal axis.
        what: ``'targets'`` or ``'images'``, for the vertical one.
        log: Whether x is logarithmic.
    """
    known = [(np.sort(values[~np.isnan(values)]), line) for values, line in groups]
    drawn = np.concatenate([v[np.isfinite(v) & ((v > 0) | (not log))] for v, _ in known])
    with page_style():
        figure = new_figure('single', 2.3)
        axes = figure.add_subplot()
        for values, line in known:
            if len(values):
                axes.plot(*_steps(values), drawstyle='steps-post', **line.style)
        axes.set(xlabel=label, ylabel=f'share of {what} ≤ x', ylim=(0, 1.01))
        if log:
            axes.set_xscale('log')
        if len(drawn):
            low, high = np.quantile(drawn, (0.003, 0.997))
            pad = 0.04 * (np.log(high / low) if log else high - low) or 0.5
            axes.set_xlim(*((low / np.exp(pad), high * np.exp(pad)) if log else (low - pad, high + pad)))
            if log:
                plain_ticks(axes.xaxis, high / low)
            elif (drawn == np.rint(drawn)).all():
                axes.xaxis.set_major_locator(MaxNLocator('auto', integer=True))
    return figure


def _steps(values: np.ndarray, most: int = 160) -> tuple[np.ndarray, np.ndarray]:
    """Corners of the cumulative distribution of sorted values, ``most`` of them at most; it begins at 0."""
    x, last = np.unique(values[::-1], return_index=True)
    share = 1 - last / len(values)
    x, share = x[np.isfinite(x)], share[np.isfinite(x)]
    if len(x) > most:
        chosen = np.linspace(0, len(x) - 1, most).round().astype(int)
        x, share = x[chosen], share[chosen]
    return np.concatenate([x[:1], x]), np.concatenate([[0.0], share])


def plain_ticks(axis, ratio: float) -> None:
    """20 rather than 2 × 10¹, and numbers between the powers of ten where these alone would be too few."""
    if ratio < 1000:
        ticks = [
            m * 10.0**e for e in range(-4, 6) for m in ((1, 2, 5) if ratio > 8 else (1, 1.5, 2, 3, 5, 7))
        ]
        low, high = axis.get_view_interval()
        axis.set_ticks([t for t in ticks if low <= t <= high])
    axis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:g}'))
    axis.set_minor_formatter(NullFormatter())


def draw_spectrum(groups: Sequence[tuple[np.ndarray, Line]], frequencies: np.ndarray) -> Figure:
    """Median power spectra over images, with a band from the 10 to the 90 % quantile for up to three groups.

    Args:
        groups: (3, frequencies) quantiles of the power density, and line, of each.
        frequencies: Cycles per pixel.
    """
    with page_style():
        figure = new_figure('single', 2.3)
        axes = figure.add_subplot()
        for (low, middle, high), line in groups:
            seen = np.isfinite(middle) & (middle > 0)
            axes.plot(frequencies[seen], middle[seen], **line.style)
            if len(groups) <= 3:
                band = low[seen], high[seen]
                axes.fill_between(frequencies[seen], *band, color=line.colour, alpha=0.15, linewidth=0)
        axes.set(xscale='log', yscale='log', xlabel='frequency (cycles per pixel)')
        axes.set(ylabel='power (grey levels² per (cycle/px)²)')
        axes.set_xlim(frequencies[0], 0.5)
        axes.set_xticks([0.01, 0.02, 0.05, 0.1, 0.2, 0.5], ['0.01', '0.02', '0.05', '0.1', '0.2', '0.5'])
        axes.xaxis.set_minor_formatter(NullFormatter())
    return figure


def draw_positions(across: np.ndarray, down: np.ndarray) -> Figure:
    """Where targets lie in their images: density over that of an even spread, by eighths of each side.

    ``across`` (n,) is in image widths from the left, ``down`` (n,) in image heights from the top.
    """
    bins = 8
    count, _, _ = np.histogram2d(down, across, bins, ((0, 1), (0, 1)))
    with page_style():
        figure = new_figure('single', 1.75)
        figure.set_figwidth(2.1)
        axes = figure.add_subplot()
        axes.grid(False)
        edges, density = np.linspace(0, 1, bins + 1), count * bins**2 / max(len(across), 1)
        mesh = axes.pcolormesh(
            edges, edges, density, cmap='viridis', vmin=0, vmax=3, edgecolors='face', linewidth=0.3
        )
        axes.set(aspect='equal', xlim=(0, 1), ylim=(1, 0), xlabel='image widths', ylabel='image heights')
        axes.set_xticks([0, 0.5, 1], ['0', '0.5', '1'])
        axes.set_yticks([0, 0.5, 1], ['0', '0.5', '1'])
        bar = figure.colorbar(mesh, ax=axes, extend='max')
        bar.set_label('× even spread')
        bar.outline.set_linewidth(0.4)
    return figure
