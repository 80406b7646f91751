"""The qualitative grid of papers: image, truth, and several methods side by side, with zoomed insets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from string import ascii_lowercase as LETTERS
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Polygon, Rectangle
from matplotlib.patheffects import withStroke

from madnet.text import score_text
from madnet.visualization.figure import WIDTHS, drawable, fit_text, new_figure, paper_style
from madnet.visualization.findings import Finding, list_findings
from madnet.visualization.insets import InsetPainter, crop_window
from madnet.visualization.palette import FALSE_ALARM, HIT, MISSED, TARGET, Kind
from madnet.visualization.stretch import stretch

if TYPE_CHECKING:
    from madnet.evaluation.components import Components
    from madnet.evaluation.matching import Match

#: Letters on a picture, legible on any grey.
_NOTE: dict[str, Any] = {
    'fontsize': 7,
    'color': 'white',
    'path_effects': [withStroke(linewidth=1.6, foreground='#181a1e')],
}
#: The frame of what an inset shows, in the image and in the legend on white paper.
_PLACE: dict[str, Any] = {'linewidth': 0.7, 'path_effects': [withStroke(linewidth=1.9, foreground='#181a1e')]}
#: Height over width of a panel; an image beyond lies in the middle of one of these.
_FLATTEST, _TALLEST = 1 / 3, 2.0


@dataclass(frozen=True)
class MethodResult:
    """What one method made of one image: score map (H, W) in 0–1, its components and their match."""

    score: np.ndarray
    pred: Components
    match: Match


@dataclass(frozen=True)
class GridRow:
    """One image of the grid, (H, W) or (H, W, C), and its true components; the name stands left of the row,
    and every row has results of the same methods."""

    name: str
    image: np.ndarray
    truth: Components
    methods: Mapping[str, MethodResult]


def draw_grid(
    rows: Sequence[GridRow],
    insets: int = 2,
    width: str = 'double',
    show: str = 'scores',
    threshold: float | None = None,
    serif: bool = False,
) -> Figure:
    """Draw the grid.

    Methods' cells show a mark around each hit, miss and false alarm. Below each cell are the same places of
    the image, zoomed, with the outlines of truth (solid) and prediction (dashed): by turns a target, those
    that most methods miss first, and the largest false alarm of each method. Where they lie is framed in the
    image, with a letter and the side in pixels. So no inset lies over an image.

    Args:
        rows: Images, each with the results of the same methods.
        insets: Zoomed places an image.
        width: ``'single'`` or ``'double'`` column.
        show: What lies under the marks of methods: ``'scores'``, their score maps, beside a column of the
            truth; or ``'image'``, the image itself, which tells more than maps that are mostly black.
        threshold: Scores above it are detections; stands in the legend.
        serif: Whether letters have serifs, as in the text of most papers.

    Raises:
        ValueError: No row, rows of different methods, or another ``show``.
    """
    if show not in ('scores', 'image'):
        raise ValueError(f"found show={show!r}, expected 'scores' or 'image'")
    if not rows:
        raise ValueError('a grid needs at least one image')
    methods = list(rows[0].methods)
    if any(list(row.methods) != methods for row in rows):
        raise ValueError('all rows of a grid need the same methods in the same order')
    columns = len(methods) + (2 if show == 'scores' else 1)
    gap, left, top, bottom = 0.04, 0.32, 0.2, 0.36 if width == 'double' else 0.5
    cell = (WIDTHS[width] - left) / columns - gap
    strip = (cell - gap * (insets - 1)) / insets if insets > 1 else cell / 2
    findings = [
        {m: list_findings(row.truth, v.pred, v.match) for m, v in row.methods.items()} for row in rows
    ]
    places = [_places(row, found, insets) for row, found in zip(rows, findings, strict=True)]
    heights = [cell * min(max(row.image.shape[0] / row.image.shape[1], _FLATTEST), _TALLEST) for row in rows]
    # panels and insets, if there is anything to zoom on
    tall = [h + gap + (strip + gap if spots else 0) for h, spots in zip(heights, places, strict=True)]
    with paper_style(serif):
        total = top + bottom + sum(tall) + len(rows) * gap
        figure = new_figure(width, total)
        # cells of one size that touch: no layout engine does that
        figure.set_layout_engine('none')

        def place(x: float, y: float, w: float, h: float) -> Axes:
            axes = figure.add_axes((x / WIDTHS[width], 1 - (y + h) / total, w / WIDTHS[width], h / total))
            axes.grid(False)
            axes.set(xticks=[], yticks=[])
            _frame(axes, None)
            return axes

        y, heads = top, []
        for row, found, spots, height, full in zip(rows, findings, places, heights, tall, strict=True):
            for c, (head, grey, marks, painter) in enumerate(_cells(row, found, show)):
                x = left + c * (cell + gap)
                axes = place(x, y, cell, height)
                axes.imshow(grey, cmap='gray', vmin=0, vmax=255, interpolation='nearest', aspect='auto')
                _centre_image(axes, height / cell)
                for finding in marks:
                    _mark(axes, finding)
                if y == top:
                    axes.set_title(drawable(head), fontsize=8, pad=3)
                    fit_text(axes.title, cell * figure.dpi)
                    heads.append(axes.title)
                if c == 0:
                    high, wide = row.image.shape[:2]
                    # beside the insets, too; rather no size than half of its digits
                    for size in (f'\n{wide} × {high} px', ''):
                        label = axes.set_ylabel(drawable(row.name) + size, fontsize=7, labelpad=2)
                        label.set_y(1 - (full - gap) / 2 / height)
                        fit_text(label, (full + gap) * figure.dpi)
                        if label.get_text().endswith(size):
                            break
                for k, spot in enumerate(spots):
                    zoom = place(x + k * (strip + gap), y + height + gap, strip, strip)
                    zoom.imshow(painter.image_crop(spot), interpolation='nearest')
                    _frame(zoom, _kind_at(spot, marks))
                    window = crop_window(spot.box, row.image.shape[:2], painter.size)
                    note = zoom.text(0.03, 0.97, LETTERS[k], transform=zoom.transAxes, va='top', **_NOTE)
                    if c == 0:
                        _frame_place(axes, window, LETTERS[k])
                        note.set_text(f'{LETTERS[k]}, {window[2] - window[0]} px')
                        if note.get_window_extent().width > 0.94 * zoom.bbox.width:
                            note.set_text(LETTERS[k])
            y += full + gap
        for title in heads:
            title.set_fontsize(min(head.get_fontsize() for head in heads))
        _legend(figure, threshold)
    return figure


def _cells(
    row: GridRow, findings: Mapping[str, list[Finding]], show: str
) -> list[tuple[str, np.ndarray, list[Finding], InsetPainter]]:
    """Head, grey picture (H, W) 0–255, marks and painter of insets, for image, truth and each method."""
    image, truth = row.image, row.truth
    stretched = stretch(image)
    outlined = InsetPainter(image, truth, None, list_findings(truth, None))
    if show == 'image':
        cells: list[tuple[str, np.ndarray, list[Finding], InsetPainter]] = [
            ('image and truth', stretched, [], outlined)
        ]
    else:
        cells = [
            ('image', stretched, [], InsetPainter(image, None, None, [])),
            ('truth', np.where(truth.labels > 0, 255, 0), [], outlined),
        ]
    for method, result in row.methods.items():
        grey = stretched if show == 'image' else np.clip(np.nan_to_num(result.score), 0, 1) * 255
        painter = InsetPainter(image, truth, result.pred, findings[method])
        cells.append((method, grey, findings[method], painter))
    return cells


def _places(row: GridRow, findings: Mapping[str, list[Finding]], insets: int) -> list[Finding]:
    """The places to zoom on, none near another: a target and a false alarm by turns, the former by how many
    methods miss it, the latter the largest of each method in their order."""
    missed = Counter(f.truth for found in findings.values() for f in found if f.kind is MISSED)
    targets = sorted(list_findings(row.truth, None), key=lambda f: (-missed[f.truth], -f.area))
    # of each method the largest first, as findings are listed
    false = [[f for f in found if f.kind is FALSE_ALARM] for found in findings.values()]
    alarms = [f for rank in zip_longest(*false) for f in rank if f is not None]
    candidates = [f for turn in zip_longest(targets, alarms) for f in turn if f is not None]
    places: list[Finding] = []
    for candidate in candidates:
        if len(places) < insets and not any(_near(candidate, place) for place in places):
            places.append(candidate)
    return places


def _centre_image(axes: Axes, ratio: float) -> None:
    """Lay an image with square pixels in the middle of axes that are ``ratio`` times as high as wide."""
    height, width = axes.get_images()[0].get_size()
    x, y = max(width, height / ratio) / 2, max(height, width * ratio) / 2
    across, down = (width - 1) / 2, (height - 1) / 2
    axes.set(xlim=(across - x, across + x), ylim=(down + y, down - y))


def _view(axes: Axes) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a panel in pixels of its image."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    return left, top, right, bottom


def _frame_place(axes: Axes, window: tuple[int, int, int, int], letter: str) -> None:
    """Frame in the image what an inset shows, with the inset's letter beside it; both within the panel."""
    left, top, right, bottom = _view(axes)
    point = (bottom - top) / axes.bbox.height * axes.figure.dpi / 72  # in pixels of the image
    half = 0.7 * point  # of the line with its dark edges, which would lie outside of a panel's border
    x0, x1 = (min(max(x - 0.5, left + half), right - half) for x in window[::2])
    y0, y1 = (min(max(y - 0.5, top + half), bottom - half) for y in window[1::2])
    axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor='white', **_PLACE))
    # over the frame's own left end, so that frames that overlap keep their letters; inside of one as tall as
    # the panel
    letters = 8 * point
    above, below = y0 - letters > top, y1 + letters < bottom
    axes.annotate(
        letter,
        (min(x0, right - letters), y0 if above or not below else y1),
        xytext=(0, 1 if above else -1),
        textcoords='offset points',
        va='bottom' if above else 'top',
        **_NOTE,
    )


def _centre(finding: Finding) -> np.ndarray:
    x0, y0, x1, y1 = finding.box
    return np.array([(x0 + x1 - 1) / 2, (y0 + y1 - 1) / 2])


def _near(a: Finding, b: Finding) -> bool:
    return bool(np.abs(_centre(a) - _centre(b)).max() < 12)


def _kind_at(place: Finding, marks: list[Finding]) -> Kind | None:
    """What a method made of a place: of the target there, or a false alarm near by."""
    for finding in marks:
        if place.truth is not None and finding.truth == place.truth:
            return finding.kind
    near = [f for f in marks if f.kind is FALSE_ALARM and _near(f, place)]
    return FALSE_ALARM if place.truth is None and near else None


def _frame(axes: Axes, kind: Kind | None) -> None:
    for spine in axes.spines.values():
        spine.set(
            visible=True,
            linewidth=0.4 if kind is None else 1.2,
            color='#888888' if kind is None else kind.hex,
        )


def _mark(axes: Axes, finding: Finding) -> None:
    """The mark of :func:`~madnet.visualization.marks.draw_mark` in points instead of pixels; at a border it
    moves inwards, so that it stays whole, and one that is too large for that becomes a frame."""
    x0, y0, x1, y1 = finding.box
    left, top, right, bottom = _view(axes)
    # a mark must stay visible where an image is printed an inch wide
    margin = 0.02 * max(right - left, bottom - top)
    rx, ry = (x1 - x0) / 2 + margin, (y1 - y0) / 2 + margin
    if finding.kind.mark in ('circle', 'diamond'):
        rx = ry = float(np.hypot(rx, ry)) if finding.kind.mark == 'circle' else rx + ry
    look: dict[str, Any] = {'fill': False, 'edgecolor': finding.kind.hex, 'linewidth': 0.8}
    if 2 * rx > right - left or 2 * ry > bottom - top:
        corner = max(x0 - margin, left + 0.5), max(y0 - margin, top + 0.5)
        end = min(x1 - 1 + margin, right - 0.5), min(y1 - 1 + margin, bottom - 0.5)
        axes.add_patch(Rectangle(corner, end[0] - corner[0], end[1] - corner[1], **look))
        return
    look['clip_on'] = False  # a line along the border, in its full width
    x, y = (
        min(max(centre, low + reach), high - reach)
        for centre, low, high, reach in zip(
            _centre(finding), (left, top), (right, bottom), (rx, ry), strict=True
        )
    )
    if finding.kind.mark == 'circle':
        axes.add_patch(Circle((x, y), rx, **look))
    elif finding.kind.mark == 'diamond':
        corners = [(x, y - ry), (x + rx, y), (x, y + ry), (x - rx, y)]
        axes.add_patch(Polygon(corners, **look))
    else:
        axes.add_patch(Rectangle((x - rx, y - ry), 2 * rx, 2 * ry, **look))


def _legend(figure: Figure, threshold: float | None) -> None:
    shapes = {'brackets': 's', 'circle': 'o', 'diamond': 'D'}
    handles: list[Any] = [
        Line2D([], [], linestyle='', marker=shapes[k.mark], markersize=6, markerfacecolor='none',
               markeredgecolor=k.hex, markeredgewidth=1.4)
        for k in (HIT, MISSED, FALSE_ALARM)
    ]  # fmt: skip
    # outlines have the colour of what a method made of the target
    handles.append(tuple(Line2D([], [], color=k.hex, linewidth=1.6) for k in (TARGET, HIT, MISSED)))
    handles.append(Line2D([], [], color='#555555', linewidth=1.2, linestyle=(0, (2, 1))))
    handles.append(
        Line2D([], [], linestyle='', marker='s', markersize=6, markerfacecolor='none',
               markeredgecolor='white', markeredgewidth=_PLACE['linewidth'],
               path_effects=_PLACE['path_effects']),
    )  # fmt: skip
    labels = [HIT.one, MISSED.one, FALSE_ALARM.one, 'truth', 'prediction', 'place of an inset']
    if threshold is not None:
        handles.append(Line2D([], [], linestyle=''))
        labels.append(f'threshold {score_text(threshold)}')
    columns = len(handles) if figure.get_figwidth() > WIDTHS['single'] else 3
    figure.legend(
        handles, labels, loc='lower center', ncols=columns, fontsize=7, columnspacing=1.2, handletextpad=0.5,
        handler_map={tuple: HandlerTuple(ndivide=None, pad=0)},
    )  # fmt: skip
