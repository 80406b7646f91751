"""Curves of results and of training.

The ``protocol`` under which numbers were made, and the ``dataset`` that was scored, in words, stand in the
title.
"""

import math
import textwrap
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator

from madnet.records.columns import is_known
from madnet.visualization.figure import (
    add_legend,
    add_legend_below,
    bar_style,
    drawable,
    new_figure,
    paper_style,
    series_style,
)

#: Columns of numbers; None, as JSON has it in the place of NaN, is not drawn.
Curve = Mapping[str, Sequence[float | None]]
#: Validation metrics whose course is drawn.
_VALIDATED = ('nIoU', 'IoU', 'Pd')


def draw_roc(
    curves: Mapping[str, Curve],
    protocol: str,
    dataset: str = '',
    areas: Mapping[str, float | None] | None = None,
) -> Figure:
    """True against false positive rate of pixels, the latter logarithmic: targets fill 1e-4 of an image.

    A curve begins with a dot at the false positives of the highest score that any background pixel has: a
    detector whose scores saturate has nothing to the left of it.

    Args:
        curves: Label → ``{'fpr', 'tpr'}``, fractions; points without false positives are left out.
        areas: Label → area under the curve, a fraction; stands in the legend.
    """
    areas = areas or {}
    with paper_style():
        figure = new_figure('single')
        axes = figure.add_subplot()
        for i, (label, curve) in enumerate(curves.items()):
            fpr, tpr = _numbers(curve['fpr']), _numbers(curve['tpr'])
            seen, style = fpr > 0, series_style(i)
            area = areas.get(label)
            label = label if area is None else f'{label} (AUC {100 * area:.2f} %)'
            axes.plot(fpr[seen], tpr[seen], label=_entry(label), **style)
            axes.plot(fpr[seen][:1], tpr[seen][:1], 'o', markersize=2.5, color=style['color'], clip_on=False)
        axes.set(xscale='log', ylim=(0, 1.02), title=_title('ROC of pixels', dataset, protocol))
        axes.set(xlabel='false positive rate (share of background pixels)')
        axes.set(ylabel='true positive rate\n(share of target pixels)')
        handles, labels = axes.get_legend_handles_labels()
        handles.append(Line2D([], [], linestyle='', marker='o', markersize=2.5, color='#555555'))
        labels.append('highest score of a background pixel')
        add_legend(axes, handles, labels)
    return figure


def draw_pr(curves: Mapping[str, Curve], protocol: str, dataset: str = '') -> Figure:
    """Precision against recall of pixels, over lines of equal F1, of label → ``{'recall', 'precision'}``."""
    with paper_style():
        figure = new_figure('single')
        axes = figure.add_subplot()
        axes.grid(False)
        for f1 in (0.2, 0.4, 0.6, 0.8):
            recall = np.linspace(f1 / (2 - f1), 1, 100)
            axes.plot(recall, f1 * recall / (2 * recall - f1), color='#cccccc', linewidth=0.5, zorder=0)
            axes.text(1.01, f1 / (2 - f1), f'$F_1$ {f1:g}', fontsize=6, va='center', color='#888888')
        for i, (label, curve) in enumerate(curves.items()):
            _plot(axes, _numbers(curve['recall']), _numbers(curve['precision']), label, series_style(i))
        title = _title('Precision and recall of pixels', dataset, protocol)
        axes.set(xlim=(0, 1), ylim=(0, 1.02), title=title)
        axes.set(xlabel='recall (share of target pixels)', ylabel='precision\n(share of predicted pixels)')
        # within the axes it would cover a curve near precision 1, or the ends of all
        add_legend_below(figure, *axes.get_legend_handles_labels())
    return figure


def draw_pd_fa(
    curves: Mapping[str, Curve],
    protocol: str,
    dataset: str = '',
    at: float | None = 0.5,
    pixels: float | None = None,
) -> Figure:
    """Share of targets detected against false-alarm pixels over thresholds.

    Points without a false alarm stand at the left edge, the tick 0, which is less than one pixel of the set.

    Args:
        curves: Label → ``{'threshold', 'Pd', 'Fa'}``, fractions.
        at: The threshold nearest to this one is marked with a dot; None marks the last point, which has all
            detections, where the curve is over their rank.
        pixels: Of all images as scored, from which the left edge follows; None takes 0.1 pixels per million.
    """
    with paper_style():
        figure = new_figure('single')
        axes = figure.add_subplot()
        floor = _fa_axis(axes, [fa for c in curves.values() for fa in _numbers(c['Fa']).tolist()], pixels)
        for i, (label, curve) in enumerate(curves.items()):
            fa = np.maximum(_numbers(curve['Fa']) * 1e6, floor)
            pd = 100 * _numbers(curve['Pd'])
            style = series_style(i)
            axes.plot(
                fa, pd, label=_entry(label), clip_on=False, zorder=3, **style
            )  # whole, over the edge's line, too
            if 'threshold' in curve and len(fa):
                dot = -1 if at is None else int(np.argmin(np.abs(_numbers(curve['threshold']) - at)))
                axes.plot(fa[dot], pd[dot], 'o', markersize=4, color=style['color'], clip_on=False, zorder=3)
        over = '' if at is not None else ' by rank'
        axes.set(ylim=(0, 102), title=_title(f'$P_d$ against $F_a${over}', dataset, protocol))
        axes.set(xlabel='$F_a$ (false-alarm pixels per million pixels)', ylabel='$P_d$ (% of targets)')
        handles, labels = axes.get_legend_handles_labels()
        handles.append(Line2D([], [], linestyle='', marker='o', markersize=4, color='#555555'))
        labels.append('all detections' if at is None else f'threshold {at:g}')
        add_legend(axes, handles, labels)
    return figure


def _fa_axis(axes: Axes, fa: Sequence[float], pixels: float | None) -> float:
    """A logarithmic axis of Fa per million with a place for 0, which is returned, at its left edge."""
    seen = [v for v in fa if v > 0]
    # the smallest Fa there is, one pixel of the set, stands apart from 0
    left = math.floor(math.log10(0.5 / pixels)) if pixels else -7
    if seen and min(seen) <= 10**left:  # the mean of images' own rates, or an unknown set
        left = math.ceil(math.log10(min(seen))) - 1
    right = min(math.ceil(math.log10(max(seen))) if seen else left + 3, 0)
    right = max(right, left + 1)
    step = math.ceil((right - left) / 7)
    decades = [k + 6 for k in range(right, left, -step)][::-1]
    axes.set(xscale='log', xlim=(10.0 ** (left + 6), 10.0 ** (right + 6)))
    axes.set_xticks(
        [10.0 ** (left + 6), *(10.0**k for k in decades)], ['0', *(f'$10^{{{k}}}$' for k in decades)]
    )
    axes.xaxis.set_minor_locator(NullLocator())  # between 0 and a number there is no scale
    return 10.0 ** (left + 6)


#: The same over the rank of detections, of which the least sure are left out one after another, down to none.
draw_ranked = partial(draw_pd_fa, at=None)


def draw_strata(
    strata: Mapping[str, Sequence[Mapping]],
    protocol: str,
    what: str = 'target size',
    keys: Sequence[str] = ('Pd', 'IoU'),
    dataset: str = '',
) -> Figure:
    """Metrics by class of targets in percent, a panel each, one below another.

    Args:
        strata: Label → rows ``{'stratum', 'targets', <key>: fraction, …}``, the same classes for all; classes
            without targets are left out.
        what: What the classes are of; the label of the horizontal axis.
        keys: Metrics, one part of the figure each.
    """
    words = {'Pd': '$P_d$ (%)', 'IoU': 'IoU of hits (%)', 'recall': 'recall of pixels (%)'}
    with paper_style():
        figure = new_figure('single', 1.35 * len(keys) + 0.75)
        first = next(iter(strata.values()))
        shown = [k for k, row in enumerate(first) if row['targets']]
        names = [f'{_short(first[k]["stratum"])}\nn = {first[k]["targets"]}' for k in shown]
        panels = figure.subplots(len(keys), 1, sharex=True, squeeze=False)[:, 0]
        for axes, key in zip(panels, keys, strict=True):
            axes.grid(False, axis='x')
            # inches a bar has, and a number of three digits needs
            numbered = 0.8 * figure.get_figwidth() / len(shown) * 0.8 / len(strata) >= 0.18
            for i, (label, rows) in enumerate(strata.items()):
                _bars(axes, label, [rows[k].get(key) for k in shown], i, len(strata), numbered)
            axes.set(xlim=(-0.5, len(names) - 0.5), ylim=(0, 112), yticks=range(0, 101, 25))
            axes.set_ylabel(words.get(key, f'{key} (%)'))
        panels[-1].set_xticks(range(len(names)), names, fontsize=7)
        panels[-1].set_xlabel(f'{what} (n: number of targets)')
        panels[0].set_title(_title(f'By {what}', dataset, protocol))
        if len(strata) > 1:
            add_legend_below(figure, *panels[0].get_legend_handles_labels())
    return figure


def _short(stratum: str) -> str:
    """A class's name without what the axis says already: ``'2 ≤ SCR < 4'`` as ``'2–4'``."""
    return stratum.replace(' ≤ SCR < ', '–').removeprefix('SCR ')


def _bars(
    axes: Axes, label: str, values: Sequence[float | None], index: int, count: int, numbered: bool
) -> None:
    """One method's bars, the ``index``-th of ``count``, maybe with their numbers."""
    bar = 0.8 / count
    x = np.arange(len(values)) - 0.4 + bar * (index + 0.5)
    percent = 100 * _numbers(values)
    axes.bar(x, percent, 0.9 * bar, label=_entry(label), **bar_style(index))
    for at, value in zip(x, percent, strict=True) if numbered else ():
        text, y = (f'{value:.0f}', value) if np.isfinite(value) else ('–', 0)
        axes.text(at, y + 1, text, ha='center', va='bottom', fontsize=6)


def has_point(curve: Curve) -> bool:
    """Whether a curve has a point of which all columns are known."""
    return any(all(map(is_known, point)) for point in zip(*curve.values(), strict=False))


def _plot(axes: Axes, x: np.ndarray, y: np.ndarray, label: str, style: Mapping) -> None:
    """A line with its entry in the legend; one of a single point, which would not be seen, as a dot."""
    alone = np.count_nonzero(np.isfinite(x) & np.isfinite(y)) == 1
    axes.plot(x, y, label=_entry(label), marker='o' if alone else '', markersize=4, **style)


def _entry(label: str) -> str:
    """A label that matplotlib's legends have, which leave out what begins with an underscore."""
    return f' {label}' if label.startswith('_') else label


def _title(what: str, dataset: str, protocol: str) -> str:
    """Lines that say what a figure of one column shows without its caption."""
    if not dataset:
        return f'{what}, protocol {drawable(protocol)}'
    return f'{what}\n{drawable(textwrap.fill(f"{dataset}; protocol {protocol}", 50))}'


def draw_training(runs: Mapping[str, Sequence[Mapping]]) -> Figure:
    """Loss, learning rate and, where there are any, validation metrics over epochs; of several runs only the
    first metric.

    Args:
        runs: Label → records of ``scalars.json``. Records with a ``loss`` are of training, those with one of
            nIoU, IoU or Pd of validation, whose ``step`` is the epoch.
    """
    shown = [m for m in _VALIDATED if any(m in r for run in runs.values() for r in run)]
    # colours tell runs apart, or metrics where there is one run: never both at once
    shown = shown[: 1 if len(runs) > 1 else len(shown)]
    losses = [r['loss'] for run in runs.values() for r in run if r.get('loss', 0) > 0]
    with paper_style():
        count = 3 if shown else 2
        figure = new_figure('double', 2.3)
        panels = figure.subplots(1, count)
        loss, rate = panels[:2]
        for i, (label, run) in enumerate(runs.items()):
            training = [r for r in run if 'loss' in r]
            x, style = _epochs(training), series_style(i)
            _plot(loss, x, _numbers([r['loss'] for r in training]), label, style)
            _plot(rate, x, _numbers([r.get('lr') for r in training]), label, style)
            for k, metric in enumerate(shown):
                validation = [r for r in run if metric in r and 'loss' not in r]
                epochs = [r.get('step', r.get('epoch')) for r in validation]
                values = 100 * _numbers([r[metric] for r in validation])
                _plot(panels[2], _numbers(epochs), values, metric, series_style(k if len(runs) == 1 else i))
        if losses and max(losses) > 10 * min(losses):
            loss.set_yscale('log')
        loss.set(xlabel='epoch', ylabel='training loss')
        rate.set(xlabel='epoch', ylabel='learning rate')
        for score in panels[2:]:
            score.set(xlabel='epoch', ylim=(0, 102))
            score.set(ylabel=f'validation {shown[0]} (%)' if len(shown) == 1 else 'validation (%)')
            if len(shown) > 1:
                score.legend(loc='lower right')
        rate.ticklabel_format(axis='y', style='sci', scilimits=(-2, 2), useMathText=True)
        for axes in panels:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        if len(runs) > 1:
            add_legend_below(figure, *loss.get_legend_handles_labels())
    return figure


def _epochs(records: Sequence[Mapping]) -> np.ndarray:
    """Fractional epochs of training records, from their ``epoch`` and ``step`` (iterations)."""
    epochs = np.array([r.get('epoch', 0) for r in records], float)
    steps = np.array([r.get('step', k + 1) for k, r in enumerate(records)], float)
    last = {e: steps[epochs == e].max() for e in np.unique(epochs)}
    if not last or max(last) <= 0:
        return steps
    return steps * max(last) / last[max(last)]


def _numbers(values: Sequence) -> np.ndarray:
    """Values as floats; None (JSON has no NaN) becomes NaN."""
    return np.array(values, float)
