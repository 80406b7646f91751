"""One image to be shown to a detector, with what is true of it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

import numpy as np

from madnet.probing.material import Material


@dataclass(frozen=True)
class Case:
    """An image and its targets.

    Attributes:
        image: (H, W) uint8 or uint16, as a camera gives it.
        centres: (n, 2) float64, (x, y) of the targets in pixels; in pairs, two and two belong together.
        in_pairs: Whether they do.
        defects: (k, 4) int64, boxes (x0, y0, x1, y1), half-open, of bad pixels and lines.
    """

    image: np.ndarray
    centres: np.ndarray
    in_pairs: bool = False
    defects: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.int64))


@dataclass(frozen=True)
class Sweep:
    """One thing that is changed.

    Attributes:
        key: Its name.
        title: In words.
        axis: What the values are, with their unit.
        about: What is done to a frame.
        values: In the order of the axis.
        cases: The images at a value.
        unchanged: The value at which nothing is changed; None where there is none.
        log: Whether the axis is logarithmic.
        labels: The values in words, where they are no numbers.
    """

    key: str
    title: str
    axis: str
    about: str
    values: tuple[float, ...]
    cases: Callable[[Material, float], Iterator[Case]]
    unchanged: float | None = None
    log: bool = False
    labels: tuple[str, ...] = ()


def sweep(title: str, axis: str, values: Sequence[float], **further: Any) -> Callable[[Any], Sweep]:
    """Makes of a function, which gives the cases at a value, the sweep of its name. Its docstring, with the
    constants of its module, says what is done."""

    def made(cases: FunctionType) -> Sweep:
        about = ' '.join((cases.__doc__ or '').split()).format_map(cases.__globals__)
        return Sweep(cases.__name__, title, axis, about, tuple(values), cases, **further)

    return made


def as_camera(grey: np.ndarray) -> np.ndarray:
    """Grey levels (H, W) as the 8 bits of a camera: clipped to 0–255 and rounded."""
    return np.rint(np.clip(grey, 0, 255)).astype(np.uint8)
