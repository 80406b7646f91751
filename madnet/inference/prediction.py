"""What a detector says of one image: a score map, a mask, and the targets in it."""

from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from madnet.evaluation.boxes import peak_scores
from madnet.evaluation.calibration import PLAIN, PlattScaling
from madnet.evaluation.components import Components, find_components
from madnet.evaluation.targets import KEEP_ALL, Least, describe_components
from madnet.text import counted


class Maps(NamedTuple):
    """What a detector gives for an image: (H, W) float32 scores in 0–1, and the logits that they were rounded
    from, where it has any."""

    scores: np.ndarray
    logits: np.ndarray | None = None


@dataclass(frozen=True)
class Target:
    """One 8-connected component of a predicted mask. Pixel (0, 0) has its centre at x = y = 0.

    Attributes:
        x: Centroid, pixels to the right.
        y: Centroid, pixels down.
        area: Pixels.
        box: (x0, y0, x1, y1) in pixels, half-open: ``mask[y0:y1, x0:x1]`` holds the target.
        peak: Highest score in the target, 0–1.
        mean: Mean score over the target's pixels, 0–1.
        logit: Highest logit in the target. In tiles and of networks that see a resized image it comes of the
            score, which rounds to 1 from 16.6 times the temperature on.
        mean_logit: Mean logit over the target's pixels.
        scr: Local signal-to-clutter ratio of its pixels in the image; NaN where that is not known.
        rank: By what targets are put in order, see :func:`~madnet.evaluation.targets.rank`: it tells true
            ones from false alarms better than each of these.
    """

    x: float
    y: float
    area: int
    box: tuple[int, int, int, int]
    peak: float
    mean: float
    logit: float
    mean_logit: float
    scr: float
    rank: float

    @property
    def centroid(self) -> tuple[float, float]:
        """(x, y) in pixels."""
        return self.x, self.y

    def to_dict(self) -> dict:
        """The attributes as plain numbers, ``box`` as a list."""
        return {**asdict(self), 'box': list(self.box)}


@dataclass(frozen=True)
class Prediction:
    """The result for one image, at the image's own size.

    Attributes:
        name: Of the file without its ending, or ``image_<number>`` for an array.
        score_map: (H, W) float32 in 0–1.
        threshold: In 0–1; where ``score_map`` exceeds it is target.
        least: What a component above the threshold must have to be a target.
        scaling: Of the logits before the sigmoid: ``scaling.temperature`` and ``scaling.bias``.
        logits: (H, W) float32, before that; None where only scores are known.
        path: The image's file; None for an array.
        image: (H, W, C) pixels on the 0–255 scale, as the detector's pipeline loaded them.
    """

    name: str
    score_map: np.ndarray
    threshold: float
    path: Path | None = None
    image: np.ndarray | None = field(default=None, repr=False)
    least: Least = KEEP_ALL
    scaling: PlattScaling = PLAIN
    logits: np.ndarray | None = field(default=None, repr=False)

    @cached_property
    def mask(self) -> np.ndarray:
        """(H, W) bool: where the score exceeds the threshold, without components that are left out."""
        if self.least.keeps_all:
            return self.score_map > self.threshold
        return np.concatenate([[False], self._kept])[self._above.labels]

    @cached_property
    def _kept(self) -> np.ndarray:
        """(n,) bool: which components above the threshold are targets."""
        return self.least.kept(self._describe(self._above))

    def _describe(self, components: Components) -> np.ndarray:
        if self.logits is not None:
            return describe_components(self.logits, components, self.image, scaling=None)
        return describe_components(self.score_map, components, self.image, self.scaling)

    @cached_property
    def _above(self) -> Components:
        return find_components(self.score_map > self.threshold)

    @cached_property
    def components(self) -> Components:
        """The connected components of the mask, in the order of their first pixels."""
        return self._above if self.least.keeps_all else find_components(self.mask)

    @property
    def too_small(self) -> int:
        """How many components were left out: too small, too faint, or of too low a rank."""
        return len(self._above) - len(self.components)

    @cached_property
    def targets(self) -> tuple[Target, ...]:
        """The targets, in the order of their first pixels."""
        found = self.components
        peaks = peak_scores(self.score_map, found)
        sums = np.bincount(
            found.labels.ravel(), weights=self.score_map.ravel().astype(np.float64), minlength=len(found) + 1
        )[1:]
        return tuple(
            Target(x, y, area, tuple(box), peak, total / area, *known)
            for (x, y), area, box, peak, total, known in zip(
                found.centroids.tolist(),
                found.areas.tolist(),
                found.boxes.tolist(),
                peaks.tolist(),
                sums.tolist(),
                self._describe(found)[['logit', 'mean_logit', 'scr', 'rank']].tolist(),
                strict=True,
            )
        )

    def __repr__(self) -> str:
        height, width = self.score_map.shape
        return f'Prediction({self.name}: {width} × {height} pixels, {counted(len(self.targets), "target")})'
