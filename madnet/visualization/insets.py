"""Zoomed crops around targets and false alarms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from madnet.visualization.findings import Finding
from madnet.visualization.marks import draw_dashed, enlarge, inner_ring, kind_regions, outer_ring
from madnet.visualization.palette import DETECTION, FALSE_ALARM, INK
from madnet.visualization.stretch import stretch

if TYPE_CHECKING:
    from madnet.evaluation.components import Components

Window = tuple[int, int, int, int]


def crop_window(box: Window, shape: tuple[int, int], size: int = 32) -> Window:
    """A square window around a box, moved inside an image (H, W); both ``(x0, y0, x1, y1)``, half-open.

    ``size`` is its side in pixels: a larger object gets a larger window, a smaller image a smaller one, which
    need not be square.
    """
    x0, y0, x1, y1 = box
    side = max(size, int(1.4 * max(x1 - x0, y1 - y0)) + 4)
    height, width = shape
    left = min(max((x0 + x1 - side) // 2, 0), max(width - side, 0))
    top = min(max((y0 + y1 - side) // 2, 0), max(height - side, 0))
    return left, top, min(left + side, width), min(top + side, height)


class InsetPainter:
    """Draws the insets of one image, (H, W) or (H, W, C).

    Args:
        image, truth, pred, findings: See :func:`~madnet.visualization.marks.draw_findings`.
        size: Side of a crop in pixels of the image.
        zoom: Magnification of a crop of that side; a larger crop is magnified less.
    """

    def __init__(
        self,
        image: np.ndarray,
        truth: Components | None,
        pred: Components | None,
        findings: list[Finding],
        size: int = 32,
        zoom: int = 5,
    ):
        self.image = image
        self.size, self.zoom = size, zoom
        self.regions = kind_regions(truth, pred, findings)
        self.pred = None if pred is None else (pred.labels > 0).view(np.uint8)

    @property
    def side(self) -> int:
        """Side of an inset in pixels of the picture."""
        return self.size * self.zoom

    def image_crop(self, finding: Finding) -> np.ndarray:
        """The image around a finding, with the outline of the truth (solid) and of the prediction (dashed).

        The crop has a contrast of its own, so that a dim target is seen. The outline of the truth runs
        outside of its pixels and that of the prediction inside: both can be told where they coincide.

        Returns:
            (side, side, 3) RGB uint8.
        """
        window = crop_window(finding.box, self.image.shape[:2], self.size)
        patch = stretch(_cut(self.image, window), 0, 100)
        canvas, factor = self._enlarged(cv2.cvtColor(patch, cv2.COLOR_GRAY2RGB))
        self._draw_truth(canvas, window, factor)
        if self.pred is not None:
            draw_dashed(canvas, inner_ring(enlarge(_cut(self.pred, window), factor)), light=INK)
            for kind in (FALSE_ALARM, DETECTION):
                if kind in self.regions:
                    own = enlarge(_cut(self.regions[kind], window), factor)
                    draw_dashed(canvas, inner_ring(own), light=kind.colour)
        return self._square(canvas)

    def score_crop(self, score: np.ndarray, finding: Finding) -> np.ndarray:
        """The same crop of a score map (H, W) in 0–1, in false colours, with the outline of the truth.

        Returns:
            (side, side, 3) RGB uint8.
        """
        window = crop_window(finding.box, score.shape, self.size)
        patch = (np.clip(np.nan_to_num(_cut(score, window)), 0, 1) * 255).astype(np.uint8)
        colours = cv2.cvtColor(cv2.applyColorMap(patch, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
        canvas, factor = self._enlarged(colours)
        self._draw_truth(canvas, window, factor)
        return self._square(canvas)

    def _enlarged(self, patch: np.ndarray) -> tuple[np.ndarray, int]:
        factor = max(1, self.side // max(patch.shape[:2]))
        return enlarge(patch, factor), factor

    def _draw_truth(self, canvas: np.ndarray, window: Window, factor: int) -> None:
        for kind, region in self.regions.items():
            if kind not in (FALSE_ALARM, DETECTION):
                canvas[outer_ring(enlarge(_cut(region, window), factor))] = kind.colour

    def _square(self, canvas: np.ndarray) -> np.ndarray:
        """Put a crop in the middle of a square, so that all insets have one size."""
        height, width = (min(v, self.side) for v in canvas.shape[:2])
        out = np.full((self.side, self.side, 3), 40, np.uint8)
        top, left = (self.side - height) // 2, (self.side - width) // 2
        out[top : top + height, left : left + width] = canvas[:height, :width]
        return out


def _cut(array: np.ndarray, window: Window) -> np.ndarray:
    x0, y0, x1, y1 = window
    return array[y0:y1, x0:x1]
