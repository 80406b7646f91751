"""Top-hats: the image minus what a structuring element leaves of it."""

import cv2
import numpy as np

from madnet.classical.image import as_grey, odd_side
from madnet.errors import UserError


def top_hat(image: np.ndarray, size: int = 5) -> np.ndarray:
    """White top-hat: the image minus its opening by a flat square.

    Tom, Peli, Leung, Bondaryk, "Morphology-based algorithm for point target detection in infrared
    backgrounds", SPIE 1954, 1993. The square, of side ``size``, odd, must be larger than the target. Pixels
    outside the image never win. The score is ≥ 0, in grey levels.
    """
    size = odd_side(size, 'size', least=3)  # of 1, nothing would be left
    return cv2.morphologyEx(as_grey(image), cv2.MORPH_TOPHAT, np.ones((size, size), np.uint8))


def ring_top_hat(image: np.ndarray, outer: int = 13, inner: int = 9, body: int = 13) -> np.ndarray:
    """New top-hat: the image minus what its surround makes of it, where it is brighter.

    Bai, Zhou, Xie, "New class of top-hat transformation to enhance infrared small targets", Journal of
    Electronic Imaging 17(3), 2008: dilation by the ring between two squares, erosion by a body, S = I −
    min(I, F). The ring sees the surround without the target.

    Args:
        image: See :mod:`madnet.classical`.
        outer: Side of the outer square, odd.
        inner: Side of the square cut out of it, odd, at least the targets' size.
        body: Side of the square that erodes, odd, from ``inner`` up to ``outer``.

    Returns:
        (H, W) float64, ≥ 0, in grey levels.
    """
    outer, inner, body = odd_side(outer, 'outer'), odd_side(inner, 'inner'), odd_side(body, 'body')
    if not inner <= body <= outer or inner == outer:
        raise UserError(
            f'ring top-hat: outer={outer}, inner={inner}, body={body}; expected inner < outer, body between'
        )
    grey = as_grey(image)
    ring = np.ones((outer, outer), np.uint8)
    margin = (outer - inner) // 2
    ring[margin:-margin, margin:-margin] = 0
    surround = cv2.erode(cv2.dilate(grey, ring), np.ones((body, body), np.uint8))
    return grey - np.minimum(grey, surround)
