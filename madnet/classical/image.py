"""What a detector takes, and the borders around it."""

from typing import Any

import cv2
import numpy as np

from madnet.errors import UserError, nearest

#: Added to every denominator that is a local mean: pure black cells exist in real images.
EPS = 1e-6

#: How pixels outside the image are made up → OpenCV's name for it.
BORDERS = {
    'replicate': cv2.BORDER_REPLICATE,  # aaa|abcd|ddd
    'symmetric': cv2.BORDER_REFLECT,  # cba|abcd|dcb
    'zero': cv2.BORDER_CONSTANT,  # 000|abcd|000
}


def as_grey(image: np.ndarray) -> np.ndarray:
    """An image as the detectors compute on it.

    Converting first is what keeps unsigned arithmetic from wrapping around inside a detector.

    Args:
        image: (H, W), (H, W, 1), or (H, W, 3) in BGR order; whole numbers or floats on the 0–255 scale.

    Returns:
        (H, W) float64, contiguous; colours as luma 0.299 R + 0.587 G + 0.114 B.

    Raises:
        UserError: Another shape, no pixels, or values that are not finite.
    """
    image = np.asarray(image)
    if image.ndim == 3 and image.shape[2] in (1, 3):
        first = image[..., 0]
        if (image == first[..., None]).all():
            image = first  # a grey image over three channels stays what it is, to the last digit
        else:
            image = image @ np.array([0.114, 0.587, 0.299])
    if image.ndim != 2 or not image.size:
        raise UserError(
            f'image: found an array of shape {np.shape(image)}, expected (H, W) grey or (H, W, 3) BGR'
        )
    image = np.ascontiguousarray(image, np.float64)
    if not np.isfinite(image).all():
        raise UserError('image: holds values that are not finite, expected grey levels 0–255')
    return image


def pad(image: np.ndarray, width: int, border: str = 'replicate') -> np.ndarray:
    """An image with a frame: (H, W) → (H + 2·width, W + 2·width).

    Raises:
        UserError: Unknown border.
    """
    if border not in BORDERS:
        raise UserError(
            f'border={border!r}: expected one of {", ".join(BORDERS)}.{nearest(str(border), BORDERS)}'
        )
    return cv2.copyMakeBorder(image, width, width, width, width, BORDERS[border])


def min_max(values: np.ndarray) -> np.ndarray:
    """(values − min) / (max − min); all zeros where the values are all equal."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values, np.float64)


def odd_sides(sides: Any, what: str) -> tuple[int, ...]:
    """One odd side in pixels, or several, as a tuple.

    Raises:
        UserError: None given, or one that is not a positive odd whole number.
    """
    try:
        found = tuple(np.atleast_1d(sides).tolist())
        fits = bool(found) and all(s == int(s) and s >= 1 and s % 2 == 1 for s in found)
    except (TypeError, ValueError, OverflowError):  # words, None, NaN, lists of lists, infinity
        fits = False
    if not fits:
        raise UserError(f'{what}={sides!r}: expected positive odd numbers of pixels')
    return tuple(int(s) for s in found)


def odd_side(side: Any, what: str, least: int = 1) -> int:
    """One odd side in pixels.

    Raises:
        UserError: Several, or none that is odd and whole, or one below ``least``.
    """
    found = odd_sides(side, what)
    if len(found) > 1 or found[0] < least:
        raise UserError(f'{what}={side!r}: expected one odd number of pixels, {least} or more')
    return found[0]
