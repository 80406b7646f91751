"""A sample as a person looks at it."""

import cv2
import numpy as np


def outline_truth(image: np.ndarray, mask: np.ndarray, zoom: int = 1) -> np.ndarray:
    """The image with its targets outlined; the contour runs around a target, so that its own pixels stay
    visible.

    Args:
        image: (H, W), (H, W, 1) or (H, W, 3) in BGR order, 0–255.
        mask: (H, W), target where not zero.
        zoom: Each pixel becomes ``zoom`` × ``zoom``; from 3 on the line is thinner than a pixel of the image.

    Returns:
        (H · zoom, W · zoom, 3) uint8, RGB.
    """
    grey_or_bgr = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    rgb = cv2.cvtColor(grey_or_bgr, cv2.COLOR_BGR2RGB if image.shape[2:] == (3,) else cv2.COLOR_GRAY2RGB)
    rgb, target = (m.repeat(zoom, 0).repeat(zoom, 1) for m in (rgb, (mask > 0).astype(np.uint8)))
    rgb[cv2.dilate(target, np.ones((3, 3), np.uint8)) > target] = (255, 200, 0)
    return rgb
