"""Edges and corners of an image, from its structure tensor."""

import cv2
import numpy as np


def structure_tensor(
    grey: np.ndarray, image_sigma: float, tensor_sigma: float
) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues of the smoothed structure tensor.

    Args:
        grey: (H, W).
        image_sigma: Of the 3 × 3 Gaussian before the gradients (central, one-sided at the frame), in pixels.
        tensor_sigma: Of the 3 × 3 Gaussian over their products.

    Returns:
        The larger and the smaller eigenvalue, (H, W) each: both large at corners, one at edges.
    """
    y, x = np.gradient(_smooth(grey, image_sigma))
    xx, xy, yy = (_smooth(product, tensor_sigma) for product in (x * x, x * y, y * y))
    middle, spread = (xx + yy) / 2, np.sqrt((xx - yy) ** 2 + 4 * xy**2) / 2
    return middle + spread, middle - spread


def _smooth(image: np.ndarray, sigma: float) -> np.ndarray:
    side = np.exp(-np.array([1.0, 0.0, 1.0]) / (2 * sigma**2))
    side /= side.sum()
    return cv2.sepFilter2D(image, cv2.CV_64F, side, side, borderType=cv2.BORDER_REFLECT)
