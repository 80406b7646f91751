"""Targets planted in frames without any, with one property changed at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from madnet.datasets.scenes import PATCH, clutter_around, patch_window, render_target
from madnet.probing.case import Case, Sweep, as_camera
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


def _scr(material: Material, value: float) -> Iterator[Case]:
    signal = render_target('point', AREA, 1.0, 0.0, np.full(2, PATCH / 2), PSF)
    mean = float(signal[signal >= 0.5].mean())
    for frame in material.frames:
        peaks = [(y, x, value * clutter_around(frame.empty, y, x) / mean) for y, x in frame.anywhere]
        yield _case(frame.empty, [_Plant(*p) for p in peaks])


def _contrast(material: Material, value: float) -> Iterator[Case]:
    for frame in material.frames:
        yield _case(frame.empty, [_Plant(y, x, value) for y, x in frame.quiet])


def _size(material: Material, value: float) -> Iterator[Case]:
    for frame in material.frames:
        yield _case(frame.empty, [_Plant(y, x, BRIGHT, value, 'ellipse') for y, x in frame.quiet])


def _shift(material: Material, value: float) -> Iterator[Case]:
    for frame in material.frames:
        yield _case(frame.empty, [_Plant(y + value, x + value, PLAIN, 4.0) for y, x in frame.quiet])


def _two(material: Material, value: float) -> Iterator[Case]:
    for number, frame in enumerate(material.frames):
        angles = material.rng(5, number).uniform(0, np.pi, len(frame.quiet))
        plants = []
        for (y, x), angle in zip(frame.quiet, angles, strict=True):
            dy, dx = value / 2 * np.sin(angle), value / 2 * np.cos(angle)
            plants += [_Plant(y + s * dy, x + s * dx, BRIGHT, AREA_OF_TWO) for s in (-1, 1)]
        yield _case(frame.empty, plants, in_pairs=True)


def _border(material: Material, value: float) -> Iterator[Case]:
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


def _frame(material: Material, value: float) -> Iterator[Case]:
    for frame in material.frames:
        if not len(frame.quiet):
            continue
        padding = [(LARGEST // 2, LARGEST // 2)] * 2
        y, x = frame.quiet[0] + LARGEST // 2
        canvas = np.pad(frame.empty, padding, 'symmetric')
        half = int(value) // 2
        window = canvas[y - half : y + half, x - half : x + half]
        yield _case(window, [_Plant(half, half, PLAIN)])


PLANTS = (
    Sweep(
        'scr',
        'Contrast against clutter',
        'SCR',
        f'Point targets of {AREA:g} px anywhere. SCR: mean signal over the mask, over the deviation of '
        'the 25 × 25 pixels around.',
        (1, 2, 3, 4, 5, 7, 10, 14, 20),
        _scr,
        log=True,
    ),
    Sweep(
        'contrast',
        'Contrast',
        'peak, grey levels',
        f'Point targets of {AREA:g} px where the frame is quietest.',
        (3, 5, 8, 12, 16, 24, 32, 40, 60, 80, 100),
        _contrast,
        log=True,
    ),
    Sweep(
        'size',
        'Size',
        'area, pixels',
        f'Discs behind a point spread of {PSF:g} px, {BRIGHT:g} grey levels, where the frame is quietest.',
        (2, 4, 6, 9, 16, 25, 36, 50, 80, 120, 180),
        _size,
        log=True,
    ),
    Sweep(
        'shift',
        'Sub-pixel shift',
        'shift along both axes, pixels',
        f'Point targets of 4 px, {PLAIN:g} grey levels, moved between the centres of two pixels.',
        (0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875),
        _shift,
        unchanged=0,
    ),
    Sweep(
        'two',
        'Two targets',
        'distance of their centres, pixels',
        f'Pairs of point targets of {AREA_OF_TWO:g} px, {BRIGHT:g} grey levels, in any direction, where the '
        'frame is quietest. Counted are pairs of which both are found.',
        (2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 24),
        _two,
        log=True,
    ),
    Sweep(
        'border',
        'Distance to the border',
        'centre to the outermost pixels, pixels',
        f'Point targets of {AREA:g} px, {BRIGHT:g} grey levels, one at each side of the frame.',
        (0, 1, 2, 3, 4, 6, 8, 12, 16, 24),
        _border,
    ),
    Sweep(
        'frame',
        'Frame and crop',
        'side of the frame, pixels',
        f'One point target of {AREA:g} px, {PLAIN:g} grey levels, at the quietest place of a frame that '
        f'mirroring has enlarged to {LARGEST}², in crops about it.',
        (64, 128, 192, 256, 384, 512, 768, 1024),
        _frame,
        log=True,
    ),
)
