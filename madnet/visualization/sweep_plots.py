"""How a detector's numbers go with one thing that is changed, for pages."""

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from madnet.records import ProbeSweep
from madnet.visualization.distributions import plain_ticks
from madnet.visualization.figure import bar_style, new_figure, page_style, series_style

#: False components in a million pixels up to which the axis is linear; above it is logarithmic.
_LINEAR = 20.0


def draw_sweep(sweeps: Mapping[str, ProbeSweep]) -> Figure:
    """Pd above, false components in a million pixels below, over the values of a sweep; without a legend.

    Args:
        sweeps: Detector → what was found of it; the same sweep of all.
    """
    first = next(iter(sweeps.values()))
    with page_style():
        if any(p.label for p in first.points):
            return _draw_bars(sweeps)
        figure = new_figure('single', 2.9)
        parts = figure.add_gridspec(2, 1, height_ratios=(2, 1))
        alarms = figure.add_subplot(parts[1])
        detected = figure.add_subplot(parts[0], sharex=alarms)
        for number, sweep in enumerate(sweeps.values()):
            values = [p.value for p in sweep.points]
            style = {**series_style(number), 'marker': 'o', 'markersize': 2.5, 'clip_on': False}
            detected.plot(values, np.array([p.pd for p in sweep.points], float), **style)
            if sweep.half is not None:
                detected.plot(sweep.half, 0.5, 'D', color=style['color'], markersize=4, clip_on=False)
            alarms.plot(values, [p.alarms for p in sweep.points], **style)
        both = any(p.pairs for p in first.points)
        detected.set(ylabel='$P_d$ of both' if both else '$P_d$', ylim=(0, 1.04))
        detected.tick_params(labelbottom=False)
        alarms.set(xlabel=first.axis, ylabel='false per Mpx')
        _scale_alarms(alarms, sweeps)
        if first.log:
            alarms.set_xscale('log')
            plain_ticks(alarms.xaxis, first.points[-1].value / first.points[0].value)
        else:
            alarms.xaxis.set_major_locator(MaxNLocator(7))
        if first.unchanged is not None:
            for axes in (detected, alarms):
                axes.axvline(first.unchanged, color='#9aa1ab', linewidth=0.8, linestyle=':', zorder=0)
    return figure


def _draw_bars(sweeps: Mapping[str, ProbeSweep]) -> Figure:
    """False components alone, for values that are no numbers."""
    figure = new_figure('single', 2.9)
    axes = figure.add_subplot()
    width = 0.8 / len(sweeps)
    for number, sweep in enumerate(sweeps.values()):
        places = np.arange(len(sweep.points)) + width * (number - (len(sweeps) - 1) / 2)
        axes.bar(places, [p.alarms for p in sweep.points], 0.9 * width, **bar_style(number))
    labels = [str(p.label).replace(' ', '\n') for p in next(iter(sweeps.values())).points]
    axes.set_xticks(range(len(labels)), labels)
    axes.set(ylabel='false per Mpx')
    _scale_alarms(axes, sweeps)
    return figure


def _scale_alarms(axes: Axes, sweeps: Mapping[str, ProbeSweep]) -> None:
    """From 0 to a tick above all numbers."""
    most = max(max(p.alarms for p in sweep.points) for sweep in sweeps.values())
    if most <= _LINEAR:
        ticks = list(MaxNLocator(3, steps=(1, 2, 5, 10)).tick_values(0, max(1.02 * most, 1)))
    else:
        axes.set_yscale('symlog', linthresh=_LINEAR)
        highest = max(math.ceil(math.log10(1.02 * most)), 2)
        ticks = [0, _LINEAR, *(10.0**k for k in range(2, highest + 1))]
    axes.set_yticks(ticks)
    axes.set_ylim(0, ticks[-1])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:g}'))
    axes.yaxis.set_minor_locator(NullLocator())
