"""Accuracy against cost, one mark for each method, with labels that keep out of each other's way."""

import math
from collections.abc import Iterator, Mapping, Sequence, Set

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from matplotlib.transforms import Bbox

from madnet.visualization.figure import drawable, new_figure, paper_style
from madnet.visualization.palette import SERIES

_MARKERS = 'osD^vPX*'
_MARK_RADIUS = 4.0  # points
_QUOTED = '#777777'
#: Pixels from a mark from which on a line leads to its label.
_FAR = 17
#: How much worse it is that such a line crosses a label than that labels cover as much of each other.
_CROSSED = 20
#: What it costs a label that another mark is as near to it as its own, in pixels covered.
_NEARER = 100


def draw_cost(
    points: Mapping[str, tuple[float, float, float | None]],
    protocol: str,
    metric: str = 'nIoU',
    references: Mapping[str, float] | None = None,
    width: str = 'double',
    quoted: Mapping[str, tuple[float, float]] | None = None,
    dataset: str = '',
) -> Figure:
    """A metric against multiply-accumulates on a logarithmic axis.

    Args:
        points: Label → (MACs, metric as a fraction, its standard deviation over seeds or None).
        protocol: Under which the metric was taken; stands in the title.
        metric: Its name.
        references: Name → MACs of methods that have no metric here, such as published light networks: thin
            vertical lines.
        width: ``'single'`` or ``'double'`` column.
        quoted: Label → (MACs, metric as a fraction) as others published it, which their protocol, split and
            choice of the epoch keep from being compared: small hollow marks.
        dataset: What was scored, in words; stands in the title.
    """
    references, quoted = references or {}, quoted or {}
    with paper_style():
        figure = new_figure(width, 3.4 if width == 'double' else None)
        axes = figure.add_subplot()
        axes.set(xscale='log', xlabel='multiply-accumulates of one image (G)', ylabel=f'{metric} (%)')
        where = f'{dataset}; ' if dataset else ''
        axes.set(title=drawable(f'{metric} and cost: {where}protocol {protocol}'))
        for i, (macs, value, std) in enumerate(points.values()):
            axes.errorbar(
                macs / 1e9,
                100 * value,
                yerr=100 * std if std is not None and math.isfinite(std) else None,
                # from the ninth on the colours come again with other marks
                fmt=_MARKERS[(i + i // len(SERIES)) % len(_MARKERS)],
                color=SERIES[i % len(SERIES)],
                markersize=2 * _MARK_RADIUS * 0.7,
                elinewidth=0.8,
                capsize=2,
            )
        for macs, value in quoted.values():
            axes.plot(macs / 1e9, 100 * value, 'o', color=_QUOTED, fillstyle='none', markersize=4)
        costs = [point[0] for point in points.values()] + [quote[0] for quote in quoted.values()]
        _widen(axes, [macs / 1e9 for macs in (*costs, *references.values())])
        names = _draw_references(axes, references)
        figure.draw_without_rendering()  # the layout, from which positions in pixels follow
        taken = [text.get_window_extent().padded(2) for text in names]
        lines = _line_boxes(axes, references)
        every = {**points, **{k: (*p, None) for k, p in quoted.items()}}
        _place_labels(axes, every, taken, lines, set(quoted))
    return figure


def _widen(axes: Axes, costs: Sequence[float]) -> None:
    """Room for labels: half a decade to the sides, and above for names of references."""
    axes.set_xlim(min(costs) / 2, max(costs) * 2.5)
    low, high = axes.get_ylim()
    spread = max(high - low, 2.0)  # percent: less is no difference worth a picture
    low, high = (low + high - spread) / 2, (low + high + spread) / 2
    axes.set_ylim(max(low - 0.08 * spread, -0.05 * spread), high + 0.2 * spread)
    axes.xaxis.set_major_formatter(lambda value, _: f'{value:g}')
    # less than two powers of ten have too few ticks: 2 and 5 times them, in the same form
    few = max(costs) < 100 * min(costs)
    axes.xaxis.set_minor_locator(LogLocator(subs=(2, 5) if few else range(2, 10)))
    axes.xaxis.set_minor_formatter(axes.xaxis.get_major_formatter() if few else NullFormatter())


def _draw_references(axes: Axes, references: Mapping[str, float]) -> list:
    """Vertical lines with their names along them, at the top; returns the texts."""
    texts = []
    for name, macs in references.items():
        axes.axvline(macs / 1e9, color='#aaaaaa', linewidth=0.7, linestyle=(0, (2, 2)), zorder=0)
        text = axes.annotate(
            drawable(name),
            (macs / 1e9, 1),
            xycoords=('data', 'axes fraction'),
            xytext=(-2, -2),
            textcoords='offset points',
            rotation=90,
            ha='right',
            va='top',
            fontsize=6,
            color=_QUOTED,
        )
        text.set_in_layout(False)
        texts.append(text)
    return texts


def _line_boxes(axes: Axes, references: Mapping[str, float]) -> list[Bbox]:
    """Where the vertical lines run, in pixels."""
    inside = axes.get_window_extent()
    places = (axes.transData.transform((macs / 1e9, 0))[0] for macs in references.values())
    return [Bbox([[x - 1, inside.y0], [x + 1, inside.y1]]) for x in places]


def _candidates() -> Iterator[tuple[float, float]]:
    """Offsets in points from near to far; to the right first, where the eye looks for a label."""
    for radius in (7, 11, 16, 23, 32, 44):
        for angle in (0, 45, -45, 90, -90, 180, 135, -135, 22, -22, 158, -158, 70, -70, 110, -110):
            yield radius * math.cos(math.radians(angle)), radius * math.sin(math.radians(angle))


def _place_labels(
    axes: Axes, points: Mapping, obstacles: Sequence[Bbox], lines: Sequence[Bbox], quoted: Set[str]
) -> None:
    """Write each label where it covers no mark, no error bar and no other label, and the line to its mark
    crosses none, or where that is least; ``lines`` it covers not, but may cross. Those of ``quoted`` are
    grey."""
    pixel = axes.figure.dpi / 72
    taken = list(obstacles)
    marks = {}
    for label, (macs, value, std) in points.items():
        x, y = axes.transData.transform((macs / 1e9, 100 * value))
        reach = _MARK_RADIUS * pixel
        spread = 0.0
        if std is not None and math.isfinite(std):
            spread = axes.transData.transform((macs / 1e9, 100 * (value + std)))[1] - y
        marks[label] = (x, y)
        taken.append(Bbox([[x - reach, y - max(reach, spread)], [x + reach, y + max(reach, spread)]]))
    # those with the most neighbours have the least room: they choose first
    crowd = {
        a: sum(math.hypot(p[0] - q[0], p[1] - q[1]) < 60 * pixel for q in marks.values())
        for a, p in marks.items()
    }
    inside = axes.get_window_extent()
    leaders: list[Bbox] = []
    for i in sorted(range(len(points)), key=lambda k: -crowd[list(points)[k]]):
        label = list(points)[i]
        x, y = marks[label]
        text = axes.annotate(
            drawable(label),
            (x, y),
            xycoords='figure pixels',
            xytext=(0, 0),
            textcoords='offset points',
            fontsize=6 if label in quoted else 7,
            color=_QUOTED if label in quoted else 'black',
        )
        text.set_in_layout(False)
        best = (math.inf, (0.0, 0.0))
        for dx, dy in _candidates():
            _move(text, dx, dy)
            box = text.get_window_extent().padded(pixel)
            covered = sum(_common_area(box, other) for other in (*taken, *lines))
            covered += box.width * box.height - _common_area(box, inside)
            covered += _CROSSED * sum(_common_area(box, part) for part in leaders)
            leader = _leader(x, y, dx * pixel, dy * pixel)
            covered += _CROSSED * sum(
                _common_area(part, other)
                for part in leader
                for other in (*taken, *leaders)
                if not other.contains(x, y)
            )
            if not leader:  # no line says whose it is
                own = _away(box, x, y)
                others = (mark for other, mark in marks.items() if other != label)
                covered += _NEARER * sum(_away(box, *mark) <= own for mark in others)
            if covered < best[0] - 1e-6:
                best = (covered, (dx, dy))
            if covered <= 1e-6:
                break
        dx, dy = best[1]
        _move(text, dx, dy)
        # bound to the data, so that a figure saved at another resolution keeps the label at its mark
        macs, value, _ = points[label]
        text.xy, text.xycoords = (macs / 1e9, 100 * value), 'data'
        leader = _leader(x, y, dx * pixel, dy * pixel)
        taken.append(text.get_window_extent())
        leaders += leader
        if leader:
            line = {'arrowstyle': '-', 'linewidth': 0.4, 'color': '#999999', 'shrinkA': 0, 'shrinkB': 3}
            axes.annotate(
                '', text.xy, xytext=(0.8 * dx, 0.8 * dy), textcoords='offset points', arrowprops=line
            ).set_in_layout(False)


def _away(box: Bbox, x: float, y: float) -> float:
    """From a label to a place, in pixels."""
    return math.hypot(max(box.x0 - x, 0, x - box.x1), max(box.y0 - y, 0, y - box.y1))


def _leader(x: float, y: float, dx: float, dy: float) -> list[Bbox]:
    """The line from a mark to a label that is far from it, as boxes of two pixels; none to a near one."""
    length = math.hypot(dx, dy)
    if length <= _FAR:
        return []
    steps = math.ceil(length / 2)
    places = [(x + 0.8 * dx * k / steps, y + 0.8 * dy * k / steps) for k in range(1, steps + 1)]
    return [Bbox([[px - 1, py - 1], [px + 1, py + 1]]) for px, py in places]


def _move(text, dx: float, dy: float) -> None:
    text.set_position((dx, dy))
    text.set_ha('left' if dx > 1 else 'right' if dx < -1 else 'center')
    text.set_va('center' if abs(dy) < 3 else 'bottom' if dy > 0 else 'top')


def _common_area(a: Bbox, b: Bbox) -> float:
    width = min(a.x1, b.x1) - max(a.x0, b.x0)
    height = min(a.y1, b.y1) - max(a.y0, b.y0)
    return max(width, 0) * max(height, 0)
