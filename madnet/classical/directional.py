"""Max-mean and max-median filters: the background is the best of four lines through a pixel."""

from functools import reduce

import numpy as np

from madnet.classical.image import as_grey, odd_side, pad

#: Vertical, horizontal and both diagonals, as (row, column) steps.
DIRECTIONS = ((1, 0), (0, 1), (1, 1), (1, -1))


def max_mean(image: np.ndarray, length: int = 15, border: str = 'replicate', clip: bool = True) -> np.ndarray:
    """Max-mean: the image minus the largest mean of four centred lines.

    Deshpande, Er, Venkateswarlu, Chan, "Max-mean and max-median filters for detection of small targets",
    SPIE 3809, 1999.

    Args:
        image, border: See :mod:`madnet.classical`.
        length: Pixels of a line, odd.
        clip: Whether a pixel below its background scores 0 instead of less.

    Returns:
        (H, W) float64, in grey levels.
    """
    return _background_difference(image, length, border, clip, _line_mean)


def max_median(
    image: np.ndarray, length: int = 15, border: str = 'replicate', clip: bool = True
) -> np.ndarray:
    """Max-median: the image minus the largest median of four centred lines.

    Deshpande et al., as :func:`max_mean`. A median line passes whatever is longer than half of it: at length
    5 a target of 3 × 3 pixels scores exactly 0: ``length`` has to be above twice the targets' size.
    """
    return _background_difference(image, length, border, clip, _line_median)


def _background_difference(image, length, border, clip, statistic) -> np.ndarray:
    length = odd_side(length, 'length', least=3)  # of 1, nothing would be left
    grey = as_grey(image)
    frame = pad(grey, length // 2, border)
    lines = (_line(frame, length, direction, grey.shape) for direction in DIRECTIONS)
    score = grey - reduce(np.maximum, map(statistic, lines))
    return np.maximum(score, 0) if clip else score


def _line(frame: np.ndarray, length: int, direction: tuple[int, int], shape: tuple[int, int]) -> list:
    """The pixels of the line through every pixel: ``length`` views (H, W)."""
    radius, (y, x), (height, width) = length // 2, direction, shape
    starts = [(radius + k * y, radius + k * x) for k in range(-radius, radius + 1)]
    return [frame[top : top + height, left : left + width] for top, left in starts]


def _line_mean(views: list[np.ndarray]) -> np.ndarray:
    # sums of whole numbers are exact, unlike a convolution with a kernel of 1/length
    return sum(views[1:], views[0]) / len(views)


def _line_median(views: list[np.ndarray]) -> np.ndarray:
    middle = len(views) // 2
    return np.partition(np.stack(views, axis=-1), middle, axis=-1)[..., middle]
