"""Images that show nearly the same: frames of one sequence, one scene with other targets."""

from collections.abc import Iterable

import cv2
import numpy as np

from madnet.images import finite, luma

#: Side of the thumbnails that are compared, in pixels.
SIDE = 32


def thumbnail(pixels: np.ndarray) -> np.ndarray:
    """An image as a unit vector without mean: (:data:`SIDE`²,) float32; zeros for an image of one grey level.

    Args:
        pixels: (H, W) or (H, W, 3) BGR, of any type.
    """
    if pixels.dtype != np.uint8:
        pixels = finite(pixels, 'image').astype(np.float64)
        pixels -= pixels.min()  # of large values, float32 would not keep what differs
    small = cv2.resize(luma(pixels).astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA).ravel()
    small -= small.mean()
    length = np.linalg.norm(small)
    return small / length if length > 0 else small


def find_near_duplicates(
    images: Iterable[np.ndarray], others: Iterable[np.ndarray], threshold: float = 0.995
) -> list[tuple[int, int, float]]:
    """Pairs of images whose 32 × 32 thumbnails correlate more than ``threshold``.

    Gain and offset do not count, shifts by a few pixels hardly; turned or mirrored copies are not found.

    Args:
        images: Of one part, e.g. for training; each (H, W) or (H, W, 3) BGR, uint8 or uint16.
        others: Of another, e.g. the test part.
        threshold: Pearson's correlation, in [0, 1].

    Returns:
        ``(index among images, index among others, correlation)``, by index.
    """
    first, second = ([thumbnail(pixels) for pixels in part] for part in (images, others))
    if not first or not second:
        return []
    correlation = np.stack(first) @ np.stack(second).T
    return [(int(i), int(j), float(correlation[i, j])) for i, j in np.argwhere(correlation > threshold)]
