"""What a score map and a mask may look like, and their resizing."""

import cv2
import numpy as np
from PIL import Image

from madnet.errors import UserError
from madnet.images.resizing import pil_resize
from madnet.images.values import luma, plain_array
from madnet.text import counted


def as_map(array: np.ndarray, what: str) -> np.ndarray:
    """An (H, W) array from anything array-like of shape (H, W) or (1, …, H, W).

    Raises:
        UserError: The array has more than one channel, no pixels, or masked ones.
    """
    array = plain_array(array, what)
    while array.ndim > 2 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 2 or not array.size:
        raise UserError(f'{what}: found an array of shape {array.shape}, expected one channel (H, W)')
    return array


def as_scores(array: np.ndarray, what: str = 'score map', from_logits: bool = False) -> np.ndarray:
    """A score map as (H, W) float32: probabilities in 0–1, or logits.

    Raises:
        UserError: More than one channel, NaN, or values outside 0–1 without ``from_logits``.
    """
    scores = as_map(array, what).astype(np.float32, copy=False)
    low, high = scores.min(), scores.max()
    if np.isnan(low):
        share = 'all NaN' if np.isnan(scores).all() else counted(int(np.isnan(scores).sum()), 'NaN value')
        raise UserError(f'{what}: {share}, expected numbers')
    if not from_logits and (low < 0 or high > 1):
        raise UserError(
            f'{what}: values {low:g} to {high:g}, expected probabilities in 0–1; if these are logits, say so'
            ' (from_logits=True, --logits)'
        )
    return np.ascontiguousarray(scores)


def as_mask(array: np.ndarray, what: str = 'mask') -> np.ndarray:
    """A mask as (H, W) uint8 grey values 0–255.

    Accepted are uint8 grey values as read from a file, 16-bit grey values (scaled by 255/65535), bool (True
    is 255), and floats: in 0–1 as ``ToTensor`` makes them (scaled by 255), or grey values; they are rounded.

    Raises:
        UserError: More than one channel, NaN, or values outside those ranges.
    """
    mask = as_map(array, what)
    if mask.dtype == bool:
        return mask.astype(np.uint8) * np.uint8(255)
    low, high = mask.min(), mask.max()
    if np.isnan(low):
        number = counted(int(np.isnan(mask).sum()), 'NaN value')
        raise UserError(f'{what}: {number}, expected grey values 0–255')
    if mask.dtype.kind == 'f':
        mask = np.round(mask * 255 if high <= 1 else mask)
        low, high = mask.min(), mask.max()
    elif mask.dtype == np.uint16 and high > 255:
        mask, high = np.round(mask / 257.0), high / 257
    if low < 0 or high > 255:
        raise UserError(f'{what}: values {low} to {high}, expected grey values 0–255')
    return np.ascontiguousarray(mask, np.uint8)


def refuse_zero_one(mask: np.ndarray, what: str = 'mask') -> None:
    """Whole numbers 0 and 1 are foreground under no protocol: somebody has thresholded the mask already.

    Raises:
        UserError: The highest value of an integer array is 1.
    """
    mask = np.asarray(mask)
    if mask.dtype.kind in 'iu' and mask.size and mask.max() == 1:
        raise UserError(f'{what}: whole numbers 0 and 1, expected grey values 0–255 as in the file, or bool')


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Float32 sigmoid, (H, W) → (H, W), saturating at 0 and 1 without a warning."""
    with np.errstate(over='ignore'):
        return 1 / (1 + np.exp(-logits))


def resize_scores(scores: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear to (h, w), half-pixel centres, no antialiasing (torch's ``align_corners=False``)."""
    if scores.shape == tuple(size):
        return scores
    return cv2.resize(scores, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Grey values (H, W) or BGR (H, W, C) at the size (h, w): as they are where that is theirs, else the luma
    as float32, resized as scores are."""
    image = np.asarray(image)
    if image.shape[:2] == tuple(size):
        return image
    return resize_scores(luma(image).astype(np.float32), size)


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Nearest neighbour as Pillow's NEAREST, which the published data pipelines use; size is (h, w)."""
    if mask.shape == tuple(size):
        return mask
    # by Pillow itself: OpenCV before 5 takes another neighbour at some sizes
    return pil_resize(mask, (size[1], size[0]), Image.Resampling.NEAREST)
