"""Infrared images made fit for the eye."""

import numpy as np


def to_grey(image: np.ndarray) -> np.ndarray:
    """(H, W) float32 of a (H, W) or (H, W, C) image of any numeric type; colour channels are averaged.

    Not-a-number and infinite values become the smallest finite one.
    """
    image = np.asarray(image)
    if image.ndim == 3:
        # alpha says nothing about the scene
        image = image[..., :3].mean(axis=2, dtype=np.float32)
    if image.ndim != 2:
        raise ValueError(f'an image is (H, W) or (H, W, C), not {image.shape}')
    grey = image.astype(np.float32)
    finite = np.isfinite(grey)
    if not finite.all():
        grey = np.where(finite, grey, grey[finite].min() if finite.any() else 0)
    return grey


def stretch(image: np.ndarray, low: float = 0.5, high: float = 99.9) -> np.ndarray:
    """Spread the grey values between two percentiles over 0–255.

    The upper percentile is close to 100, since a small target is a handful of the brightest pixels: they may
    saturate, but what surrounds them keeps its gradation. An image, (H, W) or (H, W, C) of any numeric type,
    becomes (H, W) uint8, mid-grey where it is constant.
    """
    grey = to_grey(image)
    black, white = np.percentile(grey, (low, high))
    if white <= black:
        black, white = float(grey.min()), float(grey.max())
    if white <= black:
        return np.full(grey.shape, 127, np.uint8)
    return (np.clip((grey - black) / (white - black), 0, 1) * 255 + 0.5).astype(np.uint8)
