"""One image with its targets, its false alarms and a zoom on each: the picture to judge a detector by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from madnet.text import printable
from madnet.visualization.findings import MAX_INSETS, Finding, first_findings, list_findings
from madnet.visualization.insets import InsetPainter
from madnet.visualization.marks import TEXT, draw_dashed, draw_findings, draw_mark, draw_text, text_width
from madnet.visualization.palette import (
    DETECTION,
    FALSE_ALARM,
    HIT,
    INK,
    MISSED,
    PAPER,
    QUIET,
    RGB,
    TARGET,
)
from madnet.visualization.stretch import stretch

if TYPE_CHECKING:
    from madnet.evaluation.components import Components
    from madnet.evaluation.matching import Match

GAP = 6
LINE = 26
HEADER = 3 * LINE + 6
SMALL = 16
CAPTION = 2 * (SMALL + 5)
MIN_WIDTH = 520
#: Width of the empty place beside a tall, narrow image from which on insets go there, and not below it.
_BESIDE = 270
_LEGEND_REACH = {'brackets': (5, 5), 'circle': (4, 4), 'diamond': (3, 3)}
#: Side of an inset's crop in pixels of the image, and its magnifications, the most welcome first.
INSET_SIZE, _ZOOMS = 32, (5, 6, 4)


def view_factor(shape: tuple[int, int], view_size: int = 768) -> int:
    """The whole factor, 1 or more, that brings the longer side of ``(H, W)`` nearest to ``view_size``."""
    return max(1, round(view_size / max(shape)))


def draw_overlay(
    image: np.ndarray,
    truth: Components | None = None,
    pred: Components | None = None,
    match: Match | None = None,
    score: np.ndarray | None = None,
    *,
    notes: Sequence[str] | None = None,
    title: str = '',
    max_insets: int = MAX_INSETS,
    view_size: int = 768,
) -> np.ndarray:
    """Draw hits, misses and false alarms over an image, with a strip of zoomed insets below it.

    From top to bottom: a header with the title, the counts, the legend and what was done to the image; the
    image, stretched and enlarged by a whole factor, with thin outlines, a mark and a number around each
    object; one inset for each target and false alarm, and a line on how they are shown. Beside a narrow image
    the insets stand to its right. In the image, nothing covers a pixel of a target or of a false alarm
    smaller than a quarter of it.

    Args:
        image: (H, W) or (H, W, C), any numeric type.
        truth: True components; None where no truth is known (predictions are then drawn as detections).
        pred: Predicted components; None where there is no prediction (the truth is then drawn as targets).
        match: Which of them belong together; needed with both.
        score: (H, W) score map in 0–1; with it each inset has the same crop of the map beside it and says the
            highest score of the object, where there is no note.
        notes: A word or two on each predicted component, such as its rank, for its inset.
        title: One line for the header; cut where it is too long.
        max_insets: Insets at most; what is left out is counted below them.
        view_size: Pixels to which the longer side of the image is brought near, never below its own size.

    Returns:
        (H', W', 3) RGB uint8. The enlarged image lies at row ``HEADER``, column 0.

    Raises:
        ValueError: The sizes of image, components and score map differ, or ``match`` is missing.
    """
    image = np.asarray(image)
    shape = image.shape[:2]
    for what, array in (
        ('truth', None if truth is None else truth.labels),
        ('prediction', None if pred is None else pred.labels),
        ('score map', score),
    ):
        if array is not None and array.shape != shape:
            raise ValueError(
                f'the image is {shape[1]}x{shape[0]}, the {what} {array.shape[1]}x{array.shape[0]}'
            )

    findings = list_findings(truth, pred, match)
    shown = first_findings(findings, max_insets)
    factor = view_factor(shape, view_size)
    main = draw_findings(stretch(image), truth, pred, findings, factor)
    insets = []
    if shown:
        side = INSET_SIZE * (1 if score is None else 2)
        zoom = _fitting_zoom(_inset_width(main), len(shown), side)
        painter = InsetPainter(image, truth, pred, findings, INSET_SIZE, zoom)
        for finding in shown:
            pictures = [painter.image_crop(finding)]
            if score is not None:
                pictures.append(painter.score_crop(score, finding))
            insets.append((finding, pictures, _caption(finding, score, notes)))
    done = f'{shape[1]} x {shape[0]} px' + (f', enlarged {factor} times' if factor > 1 else '')
    return _sheet(main, title, findings, insets, truth is not None, pred is not None, done)


def _fitting_zoom(width: int, count: int, side: int) -> int:
    """The magnification at which insets of ``side`` pixels leave least of the width empty."""

    def used(factor: int) -> int:
        cell = factor * side + 2 + GAP
        return min(count, max(1, (width - GAP) // cell)) * cell

    return max((z for z in _ZOOMS if used(z) <= width - GAP), key=used, default=min(_ZOOMS))


def draw_overview(
    image: np.ndarray,
    pred: Components,
    closeup: Callable[[Finding], np.ndarray],
    *,
    notes: Sequence[str] | None = None,
    title: str = '',
) -> np.ndarray:
    """The picture of :func:`draw_overlay` for a frame that is too large for one: a reduced copy with marks,
    and insets from the frame itself.

    Args:
        image: (H, W), the reduced copy.
        pred: Detections: ``areas`` in pixels of the frame, all else on the reduced copy.
        closeup: Gives the inset (side, side, 3) RGB uint8 of a finding; ``pred`` of it counts the detections.
        notes, title: As of :func:`draw_overlay`.

    Returns:
        (H', W', 3) RGB uint8.
    """
    findings = list_findings(None, pred)
    shown = first_findings(findings, MAX_INSETS)
    main = draw_findings(stretch(image), None, pred, findings)
    insets = [(finding, [closeup(finding)], _caption(finding, None, notes)) for finding in shown]
    return _sheet(main, title, findings, insets, False, True, 'reduced')


def _sheet(
    main: np.ndarray,
    title: str,
    findings: list[Finding],
    insets: list[tuple[Finding, list[np.ndarray], str]],
    with_truth: bool,
    with_pred: bool,
    done: str,
) -> np.ndarray:
    """Header, image and insets (finding, pictures, caption), from top to bottom; ``done`` is
    what was done to the image's size, in words."""
    width = max(main.shape[1], MIN_WIDTH)
    rows = [_header(width, title, findings, with_truth, with_pred, done)]
    parts = [main]
    if insets:
        room = _inset_width(main)
        told = ['insets: own contrast'] + ['right: scores, black 0 to yellow 1'] * (len(insets[0][1]) > 1)
        lines = [', '.join(told)] if room == width else told
        cells = [_cell(*inset) for inset in insets]
        parts.append(np.concatenate([*(_line(room, line) for line in lines), *_strip(cells, room)]))
    if len(parts) > 1 and parts[1].shape[1] < width:
        height = max(len(part) for part in parts)
        rows.append(np.concatenate([_grow(part, height, part.shape[1]) for part in parts], axis=1))
    else:
        rows += [_grow(part, len(part), width) for part in parts]
    if len(findings) > len(insets):
        rows.append(_more(width, findings[len(insets) :]))
    return np.concatenate(rows)


def _inset_width(main: np.ndarray) -> int:
    """How wide the strip of insets is, beside a narrow image or below another."""
    free = MIN_WIDTH - main.shape[1]
    return free if free >= _BESIDE else max(main.shape[1], MIN_WIDTH)


def _blank(height: int, width: int, colour: RGB = PAPER) -> np.ndarray:
    out = np.empty((height, width, 3), np.uint8)
    # row by row: pixel by pixel takes fifty times as long
    out[:] = np.tile(np.array(colour, np.uint8), (width, 1))
    return out


def _grow(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    out = _blank(height, width)
    out[: picture.shape[0], : picture.shape[1]] = picture
    return out


def _header(
    width: int, title: str, findings: list[Finding], with_truth: bool, with_pred: bool, done: str
) -> np.ndarray:
    out = _blank(HEADER, width)
    title = printable(title)
    while title and text_width(title) > width - 2 * GAP:
        title = title[:-4] + '...' if len(title) > 4 else ''
    draw_text(out, title, (GAP, LINE - 7))

    alone = (TARGET,) * with_truth + (DETECTION,) * with_pred
    kinds = (HIT, MISSED, FALSE_ALARM) if with_truth and with_pred else alone
    count = Counter(f.kind for f in findings)
    x, base = GAP, 2 * LINE - 6
    for kind in kinds:
        draw_mark(out, kind.mark, (x + 6, base - 4), _LEGEND_REACH[kind.mark], kind.colour)
        x = _write(out, kind.count(count[kind]), x + 18, base, kind.colour)
    x, base = GAP, 3 * LINE - 5
    if with_truth:
        out[base - 5, x : x + 18] = (HIT if with_pred else TARGET).colour
        x = _write(out, 'truth', x + 23, base, QUIET, SMALL)
    if with_pred:
        line = np.zeros(out.shape[:2], bool)
        line[base - 5, x : x + 18] = True
        draw_dashed(out, line)
        x = _write(out, 'prediction', x + 23, base, QUIET, SMALL)
    for words in (f'{done}, contrast stretched', done):
        if x + text_width(words, SMALL) <= width - GAP:
            _write(out, words, x, base, QUIET, SMALL)
            break
    return out


def _write(out: np.ndarray, text: str, x: int, base: int, colour: RGB, size: int = TEXT) -> int:
    draw_text(out, text, (x, base), colour, size)
    return x + text_width(text, size) + 14


def _caption(finding: Finding, score: np.ndarray | None, notes: Sequence[str] | None) -> str:
    words = f'{finding.area} px'
    if notes is not None and finding.pred is not None:
        words += f', {notes[finding.pred]}'
    elif score is not None:
        # the box of a miss may hold a score just below the threshold: that is what one wants to know of it
        x0, y0, x1, y1 = finding.box
        words += f', score {np.nanmax(score[y0:y1, x0:x1]):.2f}'
    return words


def _cell(finding: Finding, pictures: list[np.ndarray], caption: str) -> np.ndarray:
    """Insets of one finding side by side in a frame of its colour, with two lines of text below."""
    kind, inner = finding.kind, np.concatenate(pictures, axis=1)
    height, width = inner.shape[:2]
    out = np.concatenate([_blank(height + 2, width + 2, kind.colour), _blank(CAPTION, width + 2)])
    out[1 : height + 1, 1 : width + 1] = inner
    base = height + 2 + SMALL
    draw_text(out, f'{finding.number}: {kind.one}', (1, base), kind.colour, SMALL)
    draw_text(out, caption, (1, base + SMALL + 3), INK, SMALL)
    return out


def _strip(cells: list[np.ndarray], width: int) -> list[np.ndarray]:
    """The cells in as many rows as the width asks for."""
    height, cell_width = cells[0].shape[:2]
    per_row = min(len(cells), max(1, (width - GAP) // (cell_width + GAP)))
    # what is left of the width goes between the cells
    gap = max(GAP, (width - per_row * cell_width) // (per_row + 1))
    rows = []
    for start in range(0, len(cells), per_row):
        row = _blank(height + GAP, width)
        for i, cell in enumerate(cells[start : start + per_row]):
            x = gap + i * (cell_width + gap)
            fits = min(cell_width, width - x)
            row[GAP:, x : x + fits] = cell[:, :fits]
        rows.append(row)
    return rows


def _line(width: int, text: str) -> np.ndarray:
    out = _blank(LINE, width)
    draw_text(out, text, (GAP, LINE - 7), QUIET, SMALL)
    return out


def _more(width: int, left_out: list[Finding]) -> np.ndarray:
    count = Counter(f.kind for f in left_out)
    what = ', '.join(kind.count(n) for kind, n in count.items())
    return _line(width, f'+{len(left_out)} more without an inset: {what}')
