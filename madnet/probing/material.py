"""The frames of a probe, real or made, with their targets, and the places where others may be planted."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from madnet.curation.measures import without_targets
from madnet.curation.sources import open_parts, read
from madnet.datasets.locate import NoSuchSet
from madnet.datasets.scenes import CLUTTER_RADIUS, synth_scene
from madnet.errors import UserError
from madnet.evaluation.components import Components, find_components, grown
from madnet.images import EXTENSIONS, FrameLoader
from madnet.images.notices import say_once
from madnet.images.values import ValueRange
from madnet.inference.inputs import list_images

#: Frames are cut to this many pixels a side, around their first target.
MOST_SIDE = 512
#: Frames are not shrunk below this side, pixels, which is the least that networks take.
LEAST_SIDE = 32
#: What stands for frames that are made.
SYNTHETIC = 'synthetic'
#: Targets planted in a frame, and the least distance of two places, pixels.
PLACES, APART = 4, 40
#: Pixels around a place that must lie in the frame, and grey levels that must be left above it.
MARGIN, HEADROOM = 24, 110


@dataclass(frozen=True)
class Frame:
    """One frame.

    Attributes:
        name: Its id.
        grey: (H, W) float32 on the 0–255 scale.
        targets: Its own.
        empty: (H, W) float32, the frame with its targets filled from their surroundings.
        quiet: (n, 2) int64, the rows and columns of the quietest places of ``empty``.
        anywhere: (n, 2) int64, places drawn without looking at the clutter.
    """

    name: str
    grey: np.ndarray
    targets: Components
    empty: np.ndarray
    quiet: np.ndarray
    anywhere: np.ndarray


@dataclass(frozen=True)
class Material:
    """The frames of a probe.

    Attributes:
        name: Of the data set, or ``'synthetic'``.
        split: Its part.
        frames: In order.
        seed: Of all draws.
        value_range: By which the frames were read, measured or given; None: by their type.
    """

    name: str
    split: str
    frames: tuple[Frame, ...]
    seed: int
    value_range: ValueRange = None

    def rng(self, *what: int) -> np.random.Generator:
        """The draws of one thing, the same in every run."""
        return np.random.default_rng([self.seed, *what])


def load_material(
    dataset: str,
    split: str,
    count: int,
    seed: int,
    value_range: ValueRange = None,
    mask_values: Sequence[int] | None = None,
) -> Material:
    """Frames of a data set, evenly spread over its part, or synthetic scenes.

    Args:
        dataset: A name of the catalogue, a folder of a data set, or of images alone, in which no target is
            then thought to be; or ``'synthetic'``.
        split: Which part of it; without meaning for synthetic scenes.
        count: At most this many frames.
        seed: Of synthetic scenes and of the places.
        value_range: By which the frames are read; None for what the set's record says.
        mask_values: What the masks hold; see :class:`~madnet.images.MaskRule`.

    Raises:
        UserError: The data set is not found, or a file cannot be read.
    """
    if count < 1:
        raise UserError(f'--frames {count}: expected 1 or more.')
    if seed < 0:
        raise UserError(f'--seed {seed}: expected 0 or more.')
    if dataset == SYNTHETIC:
        scenes = (synth_scene(seed, i) for i in range(count))
        cut = [
            (f'scene {i}', s.image.astype(np.float32), find_components(s.mask)) for i, s in enumerate(scenes)
        ]
        return Material(SYNTHETIC, split, _frames(cut, seed), seed)
    try:
        (part,) = open_parts([dataset], [split], value_range=value_range, mask_values=mask_values)
    except NoSuchSet:
        loader = FrameLoader(1, value_range)
        cut = _without_masks(Path(dataset), count, loader)
        if not cut:
            raise
        say_once(f'{dataset}: frames without masks: every detection in them counts as a false alarm.')
        kind = 'frames without masks'
        return Material(Path(dataset).name, kind, _frames(cut, seed), seed, loader.value_range)
    chosen = np.unique(np.linspace(0, len(part.dataset) - 1, count).round().astype(int))
    samples = [read(part.dataset, index) for index in chosen.tolist()]
    cut = [(s.image_id, *_cut(s.grey, s.targets)) for s in samples]
    return Material(part.set_name, split, _frames(cut, seed), seed, part.dataset.value_range)


def _without_masks(folder: Path, count: int, loader: FrameLoader) -> list[tuple[str, np.ndarray, Components]]:
    """Images that lie in a folder, evenly chosen, as frames without targets; none where there is none."""
    if not folder.is_dir() or not any(p.suffix.lower() in EXTENSIONS for p in folder.iterdir()):
        return []
    files = list_images(folder)
    loader.measure([(file, None) for file in files])
    chosen = np.unique(np.linspace(0, len(files) - 1, count).round().astype(int)).tolist()
    frames = [(files[k].stem, loader(files[k])[..., 0].astype(np.float32)) for k in chosen]
    return [(name, *_cut(grey, find_components(np.zeros(grey.shape, bool)))) for name, grey in frames]


def _cut(grey: np.ndarray, targets: Components) -> tuple[np.ndarray, Components]:
    height, width = grey.shape
    if max(height, width) <= MOST_SIDE:
        return grey, targets
    x, y = targets.centroids[0] if len(targets) else (width / 2, height / 2)
    top, left = (
        int(np.clip(middle - MOST_SIDE / 2, 0, max(side - MOST_SIDE, 0)))
        for middle, side in ((y, height), (x, width))
    )
    window = slice(top, top + MOST_SIDE), slice(left, left + MOST_SIDE)
    return np.ascontiguousarray(grey[window]), find_components(targets.labels[window] > 0)


def _frames(cut: Sequence[tuple[str, np.ndarray, Components]], seed: int) -> tuple[Frame, ...]:
    made = []
    for number, (name, grey, targets) in enumerate(cut):
        if min(grey.shape) < 2 * MARGIN + 1:
            height, width = grey.shape
            raise UserError(
                f'frame {name}: found {width}×{height} pixels (width×height), expected sides of '
                f'{2 * MARGIN + 1} or more, about a place for a target; leave such frames out.'
            )
        rng = np.random.default_rng([seed, number])
        empty = without_targets(grey, targets)
        free = _free(empty, targets)
        noise = rng.random(grey.shape, np.float32)
        made.append(Frame(name, grey, targets, empty, _lowest(_clutter(empty), free), _lowest(noise, free)))
    return tuple(made)


def _free(empty: np.ndarray, targets: Components) -> np.ndarray:
    """(H, W) bool: where a target may be planted: not at the border, not near another, not in the white."""
    free = np.zeros(empty.shape, bool)
    free[MARGIN:-MARGIN, MARGIN:-MARGIN] = True
    return free & ~grown(targets.labels, MARGIN) & (cv2.blur(empty, (9, 9)) <= 255 - HEADROOM)


def _clutter(grey: np.ndarray) -> np.ndarray:
    """Deviation in the square of ``CLUTTER_RADIUS`` pixels around each pixel."""
    side = (2 * CLUTTER_RADIUS + 1,) * 2
    values = grey.astype(np.float64)
    mean = cv2.blur(values, side)
    return np.sqrt(np.maximum(cv2.blur(values * values, side) - mean * mean, 0))


def _lowest(cost: np.ndarray, free: np.ndarray) -> np.ndarray:
    """(n, 2) rows and columns of the places of lowest cost, ``APART`` pixels from one another."""
    cost = np.where(free, cost, np.inf)
    places: list[tuple[int, int]] = []
    while len(places) < PLACES:
        row, column = (int(i) for i in np.unravel_index(int(cost.argmin()), cost.shape))
        if not np.isfinite(cost[row, column]):
            break
        places.append((row, column))
        cost[max(row - APART, 0) : row + APART + 1, max(column - APART, 0) : column + APART + 1] = np.inf
    return np.array(places, np.int64).reshape(-1, 2)
