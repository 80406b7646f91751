"""Targets planted in frames without any, with one property changed at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from madnet.datasets.scenes import PATCH, clutter_around, patch_window, render_target
from madnet.probing.case import Case, as_camera, sweep
from madnet.probing.material import Material

#: Standard deviation of the point spread, pixels.
PSF = 0.7
#: Pixels of a planted target, and of each of two beside one another.
AREA, AREA_OF_TWO = 12.0, 6.0
#: Grey levels of the peak of a bright target, and of one that is plain to see.
BRIGHT, PLAIN = 100.0, 48.0
#: Side of the frame from which crops are cut.
LARGEST = 1024


@dataclass(frozen=True)
class _Plant:
    """A target to be planted: its centre in the image, its pixels, its peak; a point or a disc."""

    y: float
    x: float
    peak: float
    area: float = AREA
    shape: str = 'point'


def _plant(empty: np.ndarray, plants: Sequence[_Plant]) -> tuple[np.ndarray, np.ndarray]:
    """An image (H, W) with targets added, as float32, and the centroids (n, 2) of what is seen of each."""
    image, centres = empty.copy(), []
    for p in plants:
        top, left = int(np.floor(p.y)) - PATCH // 2, int(np.floor(p.x)) - PATCH // 2
        # a pixel's centre has whole coordinates in the image, and a half in the patch
        centre = np.array([p.y - top + 0.5, p.x - left + 0.5])
        signal = render_target(p.shape, p.area, 1.0, 0.0, centre, PSF)
        window, inside = patch_window(top, left, *image.shape)
        image[window] += p.peak * signal[inside]
        rows, columns = np.nonzero(signal[inside] >= 0.5)
        centres.append((columns.mean() + window[1].start, rows.mean() + window[0].start))
    return image, np.array(centres).reshape(-1, 2)


def _case(empty: np.ndarray, plants: Sequence[_Plant], in_pairs: bool = False) -> Case:
    image, centres = _plant(empty, plants)
    return Case(as_camera(image), centres, in_pairs)


@sweep('Contrast against clutter', 'SCR', (1, 2, 3, 4, 5, 7, 10, 14, 20), log=True)
def scr(material: Material, value: float) -> Iterator[Case]:
    """Point targets of {AREA:g} px anywhere. SCR: mean signal over the mask, over the deviation of the 25
    × 25 pixels around."""
    signal = render_target('point', AREA, 1.0, 0.0, np.full(2, PATCH / 2), PSF)
    mean = float(signal[signal >= 0.5].mean())
    for frame in material.frames:
        peaks = [(y, x, value * clutter_around(frame.empty, y, x) / mean) for y, x in frame.anywhere]
        yield _case(frame.empty, [_Plant(*p) for p in peaks])


@sweep('Contrast', 'peak, grey levels', (3, 5, 8, 12, 16, 24, 32, 40, 60, 80, 100), log=True)
def contrast(material: Material, value: float) -> Iterator[Case]:
    """Point targets of {AREA:g} px where the frame is quietest."""
    for frame in material.frames:
        yield _case(frame.empty, [_Plant(y, x, value) for y, x in frame.quiet])


@sweep('Size', 'area, pixels', (2, 4, 6, 9, 16, 25, 36, 50, 80, 120, 180), log=True)
def size(material: Material, value: float) -> Iterator[Case]:
    """Discs behind a point spread of {PSF:g} px, {BRIGHT:g} grey levels, where the frame is quietest."""
    for frame in material.frames:
        yield _case(frame.empty, [_Plant(y, x, BRIGHT, value, 'ellipse') for y, x in frame.quiet])


@sweep(
    'Sub-pixel shift',
    'shift along both axes, pixels',
    (0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875),
    unchanged=0,
)
def shift(material: Material, value: float) -> Iterator[Case]:
    """Point targets of 4 px, {PLAIN:g} grey levels, moved between the centres of two pixels."""
    for frame in material.frames:
        yield _case(frame.empty, [_Plant(y + value, x + value, PLAIN, 4.0) for y, x in frame.quiet])


@sweep('Two targets', 'distance of their centres, pixels', (2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 24), log=True)
def two(material: Material, value: float) -> Iterator[Case]:
    """Pairs of point targets of {AREA_OF_TWO:g} px, {BRIGHT:g} grey levels, in any direction, where the
    frame is quietest. Counted are pairs of which both are found."""
    for number, frame in enumerate(material.frames):
        angles = material.rng(5, number).uniform(0, np.pi, len(frame.quiet))
        plants = []
        for (y, x), angle in zip(frame.quiet, angles, strict=True):
            dy, dx = value / 2 * np.sin(angle), value / 2 * np.cos(angle)
            plants += [_Plant(y + s * dy, x + s * dx, BRIGHT, AREA_OF_TWO) for s in (-1, 1)]
        yield _case(frame.empty, plants, in_pairs=True)


@sweep('Distance to the border', 'centre to the outermost pixels, pixels', (0, 1, 2, 3, 4, 6, 8, 12, 16, 24))
def border(material: Material, value: float) -> Iterator[Case]:
    """Point targets of {AREA:g} px, {BRIGHT:g} grey levels, one at each side of the frame."""
    for number, frame in enumerate(material.frames):
        rng = material.rng(6, number)
        height, width = frame.empty.shape
        # a third of a side away from the corners
        along = {k: side * rng.uniform(1 / 3, 2 / 3, 2) for k, side in (('y', height), ('x', width))}
        places = [
            (value, along['x'][0]),
            (height - 1 - value, along['x'][1]),
            (along['y'][0], value),
            (along['y'][1], width - 1 - value),
        ]
        yield _case(frame.empty, [_Plant(y, x, BRIGHT) for y, x in places])


@sweep('Frame and crop', 'side of the frame, pixels', (64, 128, 192, 256, 384, 512, 768, 1024), log=True)
def frame(material: Material, value: float) -> Iterator[Case]:
    """One point target of {AREA:g} px, {PLAIN:g} grey levels, at the quietest place of a frame that
    mirroring has enlarged to {LARGEST}², in crops about it."""
    for frame in material.frames:
        if not len(frame.quiet):
            continue
        padding = [(LARGEST // 2, LARGEST // 2)] * 2
        y, x = frame.quiet[0] + LARGEST // 2
        canvas = np.pad(frame.empty, padding, 'symmetric')
        half = int(value) // 2
        window = canvas[y - half : y + half, x - half : x + half]
        yield _case(window, [_Plant(half, half, PLAIN)])


PLANTS = (scr, contrast, size, shift, two, border, frame)
