"""What people mark targets with: exact masks, outlines, boxes and points; and how each becomes the other."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from madnet.errors import UserError
from madnet.evaluation.components import find_components
from madnet.files import names_below
from madnet.text import counted, one_form, two_forms

#: Pixels around a box (or half the side of a point's window) in which the background is measured.
RING = 4
#: Share of the contrast down to which a region grows. People draw masks wider than the width at half of the
#: peak: the masks of 200 boxes each of NUAA-SIRST, NUDT-SIRST and IRSTD-1K had a mean IoU with the true ones
#: of 0.68, 0.69 and 0.62 at 0.5, of 0.86, 0.86 and 0.78 at 0.25, and of 0.81, 0.76 and 0.71 as ellipses.
LEVEL = 0.25
#: Pixels by which a corner may miss a pixel's border and still mean it: YOLO's shares are rounded.
ROUNDING = 0.01
#: A peak that stands out less, in deviations of the background, cannot be separated from it.
FAINT = 3.0


def rule(level: float = LEVEL) -> str:
    """How shapes become masks, in words, for the record."""
    return (
        'Boxes: the region of 8-connected pixels in the box that holds its brightest pixel and is at least '
        f'background + {level:g} × (brightest - background); background is the median of the {RING} pixels '
        f'around the box. Where the brightest stands out less than {FAINT:g} deviations of the background '
        "(1.4826 MAD), or the region's own box covers less than a quarter of the box: the ellipse inscribed "
        f'in the box. Points: the same in the {2 * RING + 1} × {2 * RING + 1} pixels around the brightest of '
        "the 3 × 3 at the point, with those pixels' border as background; or else a 3 × 3 square. Outlines: "
        'pixels whose centre is inside. Masks and run lengths: as they are.'
    )


def name_left_out(files: Sequence[Path], what: str, why: str) -> None:
    """Say in one line how many files are not converted, the first of them, and why."""
    if files:
        print(f'{files[0]}: {counted(len(files), what)} {why}.', file=sys.stderr)


def files_by_id(folder: Path, *endings: str) -> dict[str, Path]:
    """Id, in Unicode's normal form C → its file below a folder, with the first of the endings that has one.

    Raises:
        UserError: Two names differ only in their Unicode form.
    """
    found: dict[str, Path] = {}
    names = [name for name in names_below(folder) if name.lower().endswith(endings)]
    rank = {ending: n for n, ending in enumerate(endings)}
    for name in sorted(names, key=lambda name: (rank[Path(name).suffix.lower()], name)):
        stem = name.rpartition('.')[0]
        other = found.setdefault(one_form(stem), folder / name)
        if why := two_forms(other.relative_to(folder).with_suffix('').as_posix(), stem):
            raise UserError(f'{folder / name} and {other} stand for one image{why}; rename one of them.')
    return found


@dataclass(frozen=True)
class Shape:
    """One marked target; pixel (0, 0) covers 0 to 1 in x and y.

    Attributes:
        kind: ``'mask'``, ``'outline'``, ``'box'`` or ``'point'``.
        data: (left, top, (h, w) bool) of a mask's part that holds all of its foreground; outlines as a tuple
            of (n, 2) x, y; (x0, y0, x1, y1), half-open; (x, y).

    Raises:
        ValueError: NaN or infinity among coordinates.
    """

    kind: str
    data: Any

    def __post_init__(self):
        numbers = {'mask': (), 'outline': self.data}.get(self.kind, (self.data,))
        if not all(np.isfinite(n).all() for n in numbers):
            raise ValueError(f'a coordinate of a {self.kind} is no finite number')

    @classmethod
    def of_mask(cls, mask: np.ndarray) -> 'Shape':
        """A mask (H, W) bool; only the part around its foreground is kept."""
        x0, y0, x1, y1 = _bounds(mask)
        return cls('mask', (x0, y0, mask[y0:y1, x0:x1].copy()))

    def whole(self, shape: tuple[int, int]) -> np.ndarray:
        """A mask at the size of its image, (H, W) bool."""
        left, top, part = self.data
        mask = np.zeros(shape, bool)
        mask[top : top + part.shape[0], left : left + part.shape[1]] = part
        return mask


def _bounds(mask: np.ndarray) -> tuple[int, int, int, int]:
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return (int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1) if len(ys) else (0, 0, 0, 0)


@dataclass
class Labelled:
    """An image and its targets."""

    image_id: str  # may hold slashes
    image: Path
    shapes: list[Shape]
    size: tuple[int, int]  # (W, H)


def mask_of(
    shapes: Sequence[Shape], pixels: np.ndarray, counts: dict[str, int], level: float = LEVEL
) -> np.ndarray:
    """The mask of an image's targets by :func:`rule`.

    Args:
        shapes: The targets.
        pixels: As :func:`~madnet.images.read_image` gives them.
        counts: Counts, by what was done, are added to it.
        level: Share of the contrast down to which a region grows, in (0, 1].

    Returns:
        (H, W) bool.
    """
    grey = as_grey(pixels)
    mask = np.zeros(grey.shape, bool)
    for shape in shapes:
        if shape.kind == 'mask':
            part, done = shape.whole(grey.shape), 'masks as they are'
        elif shape.kind == 'outline':
            part, done = _inside(shape.data, grey.shape), 'outlines filled'
        elif shape.kind == 'box':
            part, done = from_box(grey, shape.data, level)
        else:
            x, y = shape.data
            part, done = _from_point(grey, x, y, level)
        if not part.any():
            done = 'outside of the image or empty: left out'
        mask |= part
        counts[done] = counts.get(done, 0) + 1
    return mask


def from_box(grey: np.ndarray, box: Sequence[float], level: float = LEVEL) -> tuple[np.ndarray, str]:
    """The mask of a box by :func:`rule`, (H, W) bool, and what was done."""
    h, w = grey.shape
    x0, y0 = (max(int(np.floor(v + ROUNDING)), 0) for v in box[:2])
    x1, y1 = (min(int(np.ceil(v - ROUNDING)), limit) for v, limit in zip(box[2:], (w, h), strict=True))
    mask = np.zeros(grey.shape, bool)
    if x1 <= x0 or y1 <= y0:
        return mask, ''
    window = slice(max(y0 - RING, 0), y1 + RING), slice(max(x0 - RING, 0), x1 + RING)
    ring = np.ones(grey[window].shape, bool)
    ring[y0 - window[0].start : y1 - window[0].start, x0 - window[1].start : x1 - window[1].start] = False
    region = _grow(grey[y0:y1, x0:x1], grey[window][ring], level)
    if region is not None:
        left, top, right, bottom = _bounds(region)
        if 4 * (right - left) * (bottom - top) >= region.size:
            mask[y0:y1, x0:x1] = region
            return mask, 'boxes grown'
    # inscribed: an axis is the box's side, and a pixel belongs to it where its centre does
    y = (np.arange(y0, y1) + 0.5 - (y0 + y1) / 2) / ((y1 - y0) / 2)
    x = (np.arange(x0, x1) + 0.5 - (x0 + x1) / 2) / ((x1 - x0) / 2)
    mask[y0:y1, x0:x1] = y[:, None] ** 2 + x[None] ** 2 <= 1
    return mask, 'boxes as ellipses'


def _grow(inside: np.ndarray, around: np.ndarray, level: float) -> np.ndarray | None:
    """The region of the brightest pixel, down to a share of its contrast; None where it is too faint."""
    if not around.size:
        return None
    background = np.median(around)
    peak = np.unravel_index(inside.argmax(), inside.shape)
    contrast = inside[peak] - background
    if contrast <= max(FAINT * 1.4826 * np.median(np.abs(around - background)), 0):
        return None
    labels = find_components(inside >= background + level * contrast).labels
    return labels == labels[peak]


def _from_point(grey: np.ndarray, x: float, y: float, level: float) -> tuple[np.ndarray, str]:
    h, w = grey.shape
    mask = np.zeros(grey.shape, bool)
    if not (0 <= x < w and 0 <= y < h):
        return mask, ''
    near = slice(max(int(y) - 1, 0), int(y) + 2), slice(max(int(x) - 1, 0), int(x) + 2)
    top, left = np.unravel_index(grey[near].argmax(), grey[near].shape)
    cy, cx = int(top) + near[0].start, int(left) + near[1].start
    window = slice(max(cy - RING, 0), cy + RING + 1), slice(max(cx - RING, 0), cx + RING + 1)
    patch = grey[window]
    border = np.ones(patch.shape, bool)
    border[1:-1, 1:-1] = False
    inner = np.where(border, -np.inf, patch)
    here = (cy - window[0].start, cx - window[1].start)
    inner = np.where(inner > patch[here], patch[here], inner)  # a brighter neighbour is not this target
    region = _grow(inner, patch[border], level) if np.isfinite(inner[here]) else None
    if region is not None and region[here]:
        mask[window] = region
        return mask, 'points grown'
    mask[near] = True
    return mask, 'points as squares'


def _inside(outlines: Sequence[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Pixels whose centre is inside of an outline (by the odd-even rule where it crosses itself); of an
    outline without any, its middle. Several outlines are one object in parts, as in COCO."""
    mask = np.zeros(shape, bool)
    for outline in outlines:
        x, y = np.asarray(outline, float).T
        y0, x0 = max(int(y.min()), 0), max(int(x.min()), 0)
        y1, x1 = min(int(np.ceil(y.max())), shape[0]), min(int(np.ceil(x.max())), shape[1])
        if y1 <= y0 or x1 <= x0:
            continue
        cy, cx = np.arange(y0, y1)[:, None] + 0.5, np.arange(x0, x1)[None] + 0.5
        odd = np.zeros((y1 - y0, x1 - x0), bool)
        for ax, ay, bx, by in zip(x, y, np.roll(x, -1), np.roll(y, -1), strict=True):
            if ay != by:
                crosses = (ay > cy) != (by > cy)
                with np.errstate(over='ignore', invalid='ignore'):  # of corners far outside
                    odd ^= crosses & (cx < (bx - ax) * (cy - ay) / (by - ay) + ax)
        if not odd.any():
            middle = (np.clip(int(m.mean()), a, b - 1) - a for m, a, b in ((y, y0, y1), (x, x0, x1)))
            odd[tuple(middle)] = True
        mask[y0:y1, x0:x1] |= odd
    return mask


def with_parts_alone(
    parts: Mapping[str, Sequence[Labelled]], whole: str, loose: Sequence[str] = ('',)
) -> dict[str, list[Labelled]]:
    """Split → images, where those of the ``loose`` splits go to ``whole``, less what a part has already."""
    named = {split: list(images) for split, images in parts.items() if split not in loose}
    taken = {(each.image_id, each.image) for images in named.values() for each in images}
    more: list[Labelled] = []
    for split in loose:
        more += [each for each in parts.get(split, ()) if (each.image_id, each.image) not in taken]
        taken |= {(each.image_id, each.image) for each in more}
    return {**named, whole: [*named.get(whole, []), *more]} if more else named


def refuse_unknown(classes: Sequence[str] | None, known: Iterable[str], where: object) -> None:
    """Raise a UserError where a class is asked for that a data set does not have."""
    wanted = classes or ()
    if not set(wanted) <= set(known):
        raise UserError(f'{where}: --classes {",".join(wanted)}, but there are {", ".join(known) or "none"}.')


def refuse_other_size(image: Path, there: tuple[float, float], said: tuple[float, float]) -> None:
    """Raise a UserError where labels are of another size (W, H) than their image: they would be misplaced."""
    if there != said:
        raise UserError('{}: {:g} × {:g} pixels, its labels say {:g} × {:g}.'.format(image, *there, *said))


#: How marks become boxes, for the record.
BOXES = (
    'Boxes as they are; of a mask, the smallest around each 8-connected component of what is above 127; of '
    'an outline, the smallest around it; of a point, the 3 × 3 pixels around it.'
)


def boxes_of(shapes: Iterable[Shape], size: tuple[int, int]) -> list[tuple[float, float, float, float]]:
    """Targets of an image of size (W, H) as boxes (x0, y0, x1, y1), half-open: 8-connected components of
    masks."""
    boxes = [np.zeros((0, 4))]
    for shape in shapes:
        if shape.kind == 'mask':
            left, top, part = shape.data
            if part.size:
                boxes.append(np.add(find_components(part).boxes, (left, top, left, top)))
        elif shape.kind == 'outline':
            points = np.concatenate([np.asarray(o, float) for o in shape.data])
            boxes.append(np.array([[*points.min(0), *points.max(0)]]))
        elif shape.kind == 'box':
            boxes.append(np.array([shape.data], float))
        else:
            boxes.append(np.array([[*(np.floor(shape.data) - 1), *(np.floor(shape.data) + 2)]]))
    clipped = np.concatenate(boxes).clip(0, (*size, *size))
    return [(a, b, c, d) for a, b, c, d in clipped.tolist() if c > a and d > b]


def as_grey(pixels: np.ndarray) -> np.ndarray:
    """Luma on the file's own scale, (H, W) float32: only what is brighter than what matters here."""
    grey = pixels.astype(np.float32)
    return grey @ np.array((0.114, 0.587, 0.299), np.float32) if grey.ndim == 3 else grey


def decode_rle(counts: Sequence[int] | str, size: tuple[int, int]) -> np.ndarray | None:
    """A mask from COCO's run lengths, compressed or not; None where they do not fill (H, W)."""
    if isinstance(counts, (str, bytes)):
        counts = _decompress(counts.decode() if isinstance(counts, bytes) else counts)
    runs = np.asarray(counts, np.int64)
    if (runs < 0).any() or runs.sum() != size[0] * size[1]:
        return None
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(size[::-1]).T


def _decompress(text: str) -> list[int]:
    counts: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            if code & 16:
                value -= 1 << shift
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    return counts
