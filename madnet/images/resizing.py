"""Resizing with Pillow, as published pipelines do it."""

from __future__ import annotations

import numpy as np
from PIL import Image


def pil_resize(
    array: np.ndarray, size: tuple[int, int], resample: Image.Resampling = Image.Resampling.BILINEAR
) -> np.ndarray:
    """Resize with Pillow.

    Args:
        array: (H, W) or (H, W, C), uint8 or float32.
        size: (width, height) in pixels.
        resample: Pillow's filter.

    Returns:
        (height, width) or (height, width, C), of the same type.
    """
    if array.ndim == 2 or (array.dtype == np.uint8 and array.shape[2] == 3):
        return np.array(Image.fromarray(np.ascontiguousarray(array)).resize(size, resample))
    return np.stack([pil_resize(array[..., c], size, resample) for c in range(array.shape[2])], axis=2)
