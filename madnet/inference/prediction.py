"""What a detector says of one image: a score map, a mask, and the targets in it."""

from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from madnet.evaluation.boxes import peak_scores
from madnet.evaluation.components import Components, find_components


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
    """

    x: float
    y: float
    area: int
    box: tuple[int, int, int, int]
    peak: float
    mean: float

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
        min_area: Pixels; smaller components are no targets.
        path: The image's file; None for an array.
        image: (H, W, C) pixels on the 0–255 scale, as the detector's pipeline loaded them.
    """

    name: str
    score_map: np.ndarray
    threshold: float
    path: Path | None = None
    image: np.ndarray | None = field(default=None, repr=False)
    min_area: int = 1

    @cached_property
    def mask(self) -> np.ndarray:
        """(H, W) bool: where the score exceeds the threshold, without components that are too small."""
        if self.min_area <= 1:
            return self.score_map > self.threshold
        return np.concatenate([[False], self._above.areas >= self.min_area])[self._above.labels]

    @cached_property
    def _above(self) -> Components:
        return find_components(self.score_map > self.threshold)

    @cached_property
    def components(self) -> Components:
        """The connected components of the mask, in the order of their first pixels."""
        return self._above if self.min_area <= 1 else find_components(self.mask)

    @property
    def too_small(self) -> int:
        """How many components were left out because of ``min_area``."""
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
            Target(x, y, area, tuple(box), peak, total / area)
            for (x, y), area, box, peak, total in zip(
                found.centroids.tolist(),
                found.areas.tolist(),
                found.boxes.tolist(),
                peaks.tolist(),
                sums.tolist(),
                strict=True,
            )
        )

    def __repr__(self) -> str:
        height, width = self.score_map.shape
        return f'Prediction({self.name}: {width} × {height} pixels, {len(self.targets)} target(s))'
