"""Frames of a clip as a picture to watch: marks, numbers and the way that each target came."""

from collections import deque
from collections.abc import Sequence

import cv2
import numpy as np

from madnet.visualization.marks import draw_mark, draw_text, enlarge, outer_ring
from madnet.visualization.overlay import view_factor
from madnet.visualization.palette import DETECTION, INK, PAPER
from madnet.visualization.stretch import to_grey

#: Places of a track that are drawn.
_TRAIL = 40
#: How much of a frame's own contrast goes into that of the picture: a sudden flash does not make it flicker.
_ADAPTATION = 0.1


class ClipView:
    """Draws the frames of one clip, one after the other, all of one size."""

    def __init__(self):
        self._bounds: np.ndarray | None = None
        self._trails: dict[int, deque[tuple[float, float]]] = {}

    def draw(
        self,
        image: np.ndarray,
        mask: np.ndarray,
        boxes: Sequence[tuple[int, int, int, int]],
        centroids: Sequence[tuple[float, float]],
        tracks: Sequence[int] = (),
        caption: str = '',
    ) -> np.ndarray:
        """
        Args:
            image: (H, W) or (H, W, C), any numeric type.
            mask: (H, W) bool, the pixels of targets; nothing is drawn over them.
            boxes: (x0, y0, x1, y1) of each target in pixels, half-open.
            centroids: (x, y) of each in pixels.
            tracks: The number of each; empty without tracks.
            caption: Written at the top left.

        Returns:
            (H', W', 3) RGB uint8, sides even: the frame enlarged by a whole factor.
        """
        factor = view_factor(image.shape[:2])
        plain = cv2.cvtColor(enlarge(self._stretched(image), factor), cv2.COLOR_GRAY2RGB)
        canvas = plain.copy()
        kept = enlarge(mask.astype(np.uint8), factor)
        for number, place in zip(tracks, centroids, strict=False):
            trail = self._trails.setdefault(number, deque(maxlen=_TRAIL))
            trail.append(place)
            points = np.round((np.array(trail) + 0.5) * factor).astype(np.int32)
            cv2.polylines(canvas, [points], False, DETECTION.colour, 1, cv2.LINE_AA)
        canvas[outer_ring(kept)] = DETECTION.colour
        for number, (x0, y0, x1, y1) in enumerate(boxes):
            centre = (x0 + x1) * factor // 2, (y0 + y1) * factor // 2
            reach = (x1 - x0) * factor // 2 + 7, (y1 - y0) * factor // 2 + 7
            draw_mark(canvas, DETECTION.mark, centre, reach, DETECTION.colour)
            if tracks:
                at = centre[0] + reach[0] + 3, centre[1] - reach[1] + 4
                draw_text(canvas, str(tracks[number]), at, DETECTION.colour, halo=True)
        canvas[kept.astype(bool)] = plain[kept.astype(bool)]
        draw_text(canvas, caption, (6, 20), INK, halo=True)
        even = [*((0, side % 2) for side in canvas.shape[:2]), (0, 0)]
        return np.pad(canvas, even, constant_values=PAPER[0])

    def _stretched(self, image: np.ndarray) -> np.ndarray:
        grey = to_grey(image)
        bounds = np.percentile(grey[::2, ::2], (0.5, 99.9))
        if self._bounds is None:
            self._bounds = bounds
        self._bounds = (1 - _ADAPTATION) * self._bounds + _ADAPTATION * bounds
        black, white = self._bounds
        return (np.clip((grey - black) / max(white - black, 1e-6), 0, 1) * 255 + 0.5).astype(np.uint8)
