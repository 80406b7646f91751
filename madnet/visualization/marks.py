"""Thin outlines and marks around targets that never cover a pixel of a target."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from madnet.visualization.findings import MAX_INSETS, Finding, first_findings
from madnet.visualization.palette import DETECTION, FALSE_ALARM, INK, MISSED, PAPER, RGB, Kind

if TYPE_CHECKING:
    from madnet.evaluation.components import Components

#: Pixels of a line of text: legible where the picture is shown at half its size.
TEXT = 18
#: More marks than that bury their numbers, and to find a place for each takes long.
CROWD = 500
_HEIGHT = round(0.8 * TEXT) + 2  # of a number's plate
_SQUARE = np.ones((3, 3), np.uint8)
_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


def enlarge(mask: np.ndarray, factor: int) -> np.ndarray:
    """(H·f, W·f) copy of a (H, W) image or mask, every pixel a square of f × f."""
    return cv2.resize(mask, None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST)


def outer_ring(mask: np.ndarray) -> np.ndarray:
    """(H, W) bool: the one-pixel line just outside of a (H, W) uint8 mask of 0 and 1."""
    return (cv2.dilate(mask, _CROSS) > mask).astype(bool)


def inner_ring(mask: np.ndarray) -> np.ndarray:
    """(H, W) bool: the one-pixel line just inside of a (H, W) uint8 mask of 0 and 1."""
    return (cv2.erode(mask, _CROSS, borderType=cv2.BORDER_CONSTANT, borderValue=0) < mask).astype(bool)


def draw_dashed(canvas: np.ndarray, line: np.ndarray, light: RGB = INK) -> None:
    """Draw the pixels of ``line`` (H, W) bool as alternating light and dark dashes, seen on any grey."""
    y, x = np.nonzero(line)
    canvas[y, x] = np.array([light, PAPER], np.uint8)[(x + y) // 3 % 2]


def draw_text(
    canvas: np.ndarray,
    text: str,
    at: tuple[int, int],
    colour: RGB = INK,
    size: int = TEXT,
    halo: bool = False,
) -> None:
    """Write one line; ``at`` is the left end of its base line, ``size`` the height of a line in pixels.

    What does not fit on the canvas is cut; what the font lacks becomes ``?``.
    """
    written = _written(text, size)
    top, left = at[1] - size, at[0] - 2
    y0, x0 = max(top, 0), max(left, 0)
    part = canvas[y0 : max(top + written.shape[0], 0), x0 : max(left + written.shape[1], 0)]
    written = written[y0 - top :, x0 - left :][: part.shape[0], : part.shape[1]]
    if not written.size:
        return
    if halo:
        _blend(part, cv2.dilate(written, _SQUARE), PAPER)
    _blend(part, written, colour)


@functools.lru_cache(1024)  # legends and captions come again in every picture
def text_width(text: str, size: int = TEXT) -> int:
    """Width of a line in pixels."""
    shown, font = _typeset(text, size)
    return math.ceil(font.getlength(shown))


@functools.lru_cache(1024)
def _written(text: str, size: int) -> np.ndarray:
    """(1.4·size, width + 4) uint8 coverage of a line, whose base line is ``size`` below the top."""
    picture = Image.new('L', (text_width(text, size) + 4, round(1.4 * size)))
    shown, font = _typeset(text, size)
    ImageDraw.Draw(picture).text((2, size), shown, 255, font, 'ls')
    return np.asarray(picture)


_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def _typeset(text: str, size: int) -> tuple[str, _Font]:
    """A text with ``?`` for what its font lacks, and that font: the one that lacks least."""
    typeset = [(_known(text, font), font) for font in _fonts(size, text.isascii())]
    return min(typeset, key=lambda one: one[0].count('?'))


def _known(text: str, font: _Font) -> str:
    lacking = bytes(font.getmask('\uffff'))  # no character: what a font draws for those that it lacks
    return ''.join(c if c.isascii() or bytes(font.getmask(c)) != lacking else '?' for c in text)


@functools.cache
def _fonts(size: int, plain: bool) -> list[_Font]:
    """Pillow's own font, which has hardly more than ASCII; for other texts matplotlib's, if there is one."""
    if not plain and find_spec('matplotlib'):
        from madnet.visualization.fonts import font_files

        return [ImageFont.truetype(file, 0.9 * size, face) for file, face in font_files()]
    return [ImageFont.load_default(size)]


def _blend(part: np.ndarray, coverage: np.ndarray, colour: RGB) -> None:
    """Lay a colour over a part of a canvas, by a coverage of 0–255."""
    y, x = np.nonzero(coverage)
    share = coverage[y, x, None] / np.float32(255)
    part[y, x] = np.round(part[y, x] * (1 - share) + np.array(colour, np.float32) * share).astype(np.uint8)


def draw_mark(
    canvas: np.ndarray, mark: str, centre: tuple[int, int], reach: tuple[int, int], colour: RGB
) -> None:
    """Draw ``brackets``, a ``circle`` or a ``diamond`` that clears ``reach`` (x, y) around ``centre``; at a
    border it moves inwards, so that it stays whole. One that is too large for that becomes a frame."""
    height, width = canvas.shape[:2]
    (cx, cy), (rx, ry) = _kept_whole(canvas, mark, centre, reach)
    if 2 * rx + 3 > width or 2 * ry + 3 > height:
        (cx, cy), (rx, ry) = centre, reach
        start = max(cx - rx, 1), max(cy - ry, 1)
        cv2.rectangle(canvas, start, (min(cx + rx, width - 2), min(cy + ry, height - 2)), colour, 2)
    elif mark == 'circle':
        cv2.circle(canvas, (cx, cy), rx, colour, 1, cv2.LINE_AA)
    elif mark == 'diamond':
        corners = np.array([(cx, cy - ry), (cx + rx, cy), (cx, cy + ry), (cx - rx, cy)])
        cv2.polylines(canvas, [corners], True, colour, 1, cv2.LINE_AA)
    else:
        arm = max(3, min(rx, ry) // 2)
        for sx in (-1, 1):
            for sy in (-1, 1):
                x, y = cx + sx * rx, cy + sy * ry
                corner = np.array([(x - sx * arm, y), (x, y), (x, y - sy * arm)])
                cv2.polylines(canvas, [corner], False, colour, 1)


def _kept_whole(
    canvas: np.ndarray, mark: str, centre: tuple[int, int], reach: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Where a mark is drawn: its centre, within the canvas, and how far it goes from there in x and y."""
    rx, ry = reach
    if mark == 'circle':
        rx = ry = round(float(np.hypot(rx, ry)))
    elif mark == 'diamond':
        rx = ry = rx + ry
    height, width = canvas.shape[:2]
    # one pixel more, over which smooth lines fade
    x = min(max(centre[0], rx + 1), max(width - 2 - rx, 0))
    y = min(max(centre[1], ry + 1), max(height - 2 - ry, 0))
    return (x, y), (rx, ry)


def kind_regions(
    truth: Components | None, pred: Components | None, findings: list[Finding]
) -> dict[Kind, np.ndarray]:
    """For each kind that occurs a (H, W) uint8 map of 0 and 1: the true components of hits, misses and
    targets, the predicted ones of false alarms and detections."""
    return {
        kind: _region(pred, [f.pred for f in findings if f.kind is kind])
        if kind in (FALSE_ALARM, DETECTION)
        else _region(truth, [f.truth for f in findings if f.kind is kind])
        for kind in dict.fromkeys(f.kind for f in findings)
    }


def _region(components: Components | None, indices: Sequence[int | None]) -> np.ndarray:
    assert components is not None  # findings have their components
    table = np.zeros(len(components) + 1, np.uint8)
    table[np.asarray(indices, dtype=np.intp) + 1] = 1
    return table[components.labels]


def draw_findings(
    grey: np.ndarray,
    truth: Components | None,
    pred: Components | None,
    findings: list[Finding],
    factor: int = 1,
) -> np.ndarray:
    """The image with outlines, marks and numbers, enlarged by a whole factor. A number that has no place
    beside its mark where it covers no other, in a crowd, is left out; so are all but those of
    the insets where there are more than :data:`CROWD`.

    Every pixel that belongs to a true target, to a false alarm or to a detection keeps its grey value:
    outlines run outside of them, and marks and numbers give way. Over a false alarm or detection of more than
    a quarter of the image they are drawn, or nothing would be; those of a miss over any false alarm.

    Args:
        grey: (H, W) uint8.
        truth, pred: True and predicted components of the image, or None.
        findings: What :func:`~madnet.visualization.findings.list_findings` made of them.
        factor: Whole-number magnification.

    Returns:
        (H·factor, W·factor, 3) RGB uint8.
    """
    plain = cv2.cvtColor(enlarge(grey, factor), cv2.COLOR_GRAY2RGB)
    if not findings:
        return plain
    canvas = plain.copy()
    kept = np.zeros(grey.shape, np.uint8)
    matched = [f.pred for f in findings if f.truth is not None and f.pred is not None]
    if matched:
        draw_dashed(canvas, outer_ring(enlarge(_region(pred, matched), factor)))
    regions = kind_regions(truth, pred, findings)
    for kind, region in regions.items():
        canvas[outer_ring(enlarge(region, factor))] = kind.colour
        kept |= _small(region, pred) if kind in (FALSE_ALARM, DETECTION) else region

    kept = enlarge(kept, factor)
    missed = [f for f in findings if f.kind is MISSED]
    places = _number_places(findings, factor, kept)
    if missed:
        shown = np.zeros_like(canvas)  # what is drawn of misses, where false alarms give way
        shown[outer_ring(enlarge(regions[MISSED], factor))] = MISSED.colour
        _draw_marks(shown, missed, factor, places)
        true = _region(truth, [f.truth for f in findings if f.truth is not None])
        kept[(shown > 0).any(-1) & (enlarge(true, factor) == 0)] = 0
    _draw_marks(canvas, findings, factor, places)
    cv2.copyTo(plain, kept, canvas)
    return canvas


def _draw_marks(
    canvas: np.ndarray, findings: Sequence[Finding], factor: int, places: dict[int, tuple[int, int]]
) -> None:
    """Draw the marks of findings, and over them the numbers that have a place."""
    # the least important is drawn first, so that a crowd of false alarms never buries a miss
    for finding in reversed(findings):
        draw_mark(canvas, finding.kind.mark, *_place(finding, factor), finding.kind.colour)
    for finding in findings:
        if finding.number in places:
            x, base = places[finding.number]
            # letters of any colour are legible on a plate of their own only
            canvas[_plate(str(finding.number), x, base)] = PAPER
            draw_text(canvas, str(finding.number), (x + 2, base - 2), finding.kind.colour)


def _small(region: np.ndarray, pred: Components | None) -> np.ndarray:
    """A region (H, W) without the predicted components that cover more than a quarter of the image."""
    if pred is None or 4 * np.count_nonzero(region) <= region.size:
        return region
    large = 4 * np.bincount(pred.labels.ravel(), minlength=len(pred) + 1) > region.size
    return np.where(large[pred.labels], 0, region)


def _place(finding: Finding, factor: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Centre and reach of a mark around a box, in pixels of the enlarged image."""
    x0, y0, x1, y1 = (factor * v for v in finding.box)
    margin = 5 if finding.kind is FALSE_ALARM else 7
    return ((x0 + x1) // 2, (y0 + y1) // 2), ((x1 - x0) // 2 + margin, (y1 - y0) // 2 + margin)


def _number_places(findings: Sequence[Finding], factor: int, kept: np.ndarray) -> dict[int, tuple[int, int]]:
    """Number of a finding → left end and base line of its plate: beside its mark, where it hides least of
    ``kept`` (H, W) and of all marks, and nothing of a number before it; without such a place, none. Of more
    than :data:`CROWD` findings, those with an inset alone have one."""
    numbered = findings if len(findings) <= CROWD else first_findings(findings, MAX_INSETS)
    lines, taken = np.zeros_like(kept), np.zeros(kept.shape, bool)
    for finding in findings:
        draw_mark(lines, finding.kind.mark, *_place(finding, factor), (1, 1, 1))
    busy = lines + 4 * kept
    places = {}
    for finding in numbered:
        text = str(finding.number)
        free = [at for at in _beside(finding, text, factor, kept) if not taken[_plate(text, *at)].any()]
        if free:
            x, base = places[finding.number] = min(free, key=lambda at: busy[_plate(text, *at)].sum())
            taken[_plate(text, x, base)] = True
    return places


def _beside(finding: Finding, text: str, factor: int, canvas: np.ndarray) -> list[tuple[int, int]]:
    """Places for a number, the most welcome first: at the corners of its mark, then at the sides, all of them
    on the canvas."""
    (cx, cy), (rx, ry) = _kept_whole(canvas, finding.kind.mark, *_place(finding, factor))
    if finding.kind.mark == 'diamond':
        rx, ry, side = round(0.8 * rx), round(0.8 * ry), rx
    else:
        side = max(rx, ry)
    width, height = text_width(text) + 4, _HEIGHT
    right, left, above, below = cx + rx + 3, cx - rx - 3 - width, cy - ry + 4, cy + ry + height
    middle, level = cx - width // 2, cy + height // 2
    corners = [(right, above), (left, above), (right, below), (left, below)]
    sides = [(cx + side + 3, level), (cx - side - 3 - width, level)]
    sides += [(middle, cy - side - 3), (middle, cy + side + 3 + height)]
    return [
        (
            max(min(x, canvas.shape[1] - width - 1), 1),
            max(min(base, canvas.shape[0] - 2), height + 1),
        )
        for x, base in corners + sides
    ]


def _plate(text: str, x: int, base: int) -> tuple[slice, slice]:
    """Rows and columns that a number takes."""
    return slice(base - _HEIGHT, base + 1), slice(x, x + text_width(text) + 4)
