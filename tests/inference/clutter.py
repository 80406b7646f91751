"""Images to predict."""

import cv2
import numpy as np


def scene(height, width, seed=0):
    """An image (H, W) uint8 of smooth clutter with a bright spot."""
    rng = np.random.default_rng(seed)
    image = cv2.GaussianBlur(rng.normal(0, 60, (height, width)), (0, 0), 3) * 6 + 100
    image[height // 3 : height // 3 + 3, width // 2 : width // 2 + 4] = 240
    return np.clip(image, 0, 255).astype(np.uint8)
