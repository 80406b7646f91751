"""How far from the border of a tile a network's scores still depend on what lies beyond it."""

from collections.abc import Callable

import numpy as np

from madnet.datasets.scenes import synth_scene
from madnet.errors import UserError

from .tiling import Tiling

#: A tile's scores differ from the whole frame's by no more than this further inside than the halo.
TOLERANCE = 1e-3
_SCENES = 2


def fit_tiling(
    score: Callable[[np.ndarray], np.ndarray], channels: int, size: tuple[int, int], align: int
) -> Tiling:
    """Tiles with the halo that a network needs, and as little overlap as this allows.

    Args:
        score: (h, w, channels) float32 pixels on the 0–255 scale → (h, w) scores in 0–1.
        channels: Of the pixels.
        size: (Height, width) of a tile in pixels.
        align: Where tiles begin, in pixels.

    Raises:
        UserError: The network sees further than tiles of this size allow, such as one with layers that look
            at all they get.
    """
    halo = measure_halo(score, channels, size, align)
    overlap = 2 * halo + align
    if overlap + align > min(size):
        raise UserError(
            f'overlap: scores of this network depend on what lies {halo} pixels away or further, too far for '
            f'tiles of {size[0]} × {size[1]}; give larger tiles, or an overlap in pixels.'
        )
    return Tiling(size, overlap, align, halo)


def measure_halo(
    score: Callable[[np.ndarray], np.ndarray], channels: int, size: tuple[int, int], align: int
) -> int:
    """Pixels from the border of a tile within which a score can differ by more than :data:`TOLERANCE` from
    that of a larger frame; a multiple of 8.

    Tiles are cut out of synthetic scenes and their logits compared with those of the whole scenes. Where
    logits differ by less than four times the tolerance, scores differ by less than the tolerance whatever
    they are: the slope of the sigmoid is a quarter at most.
    """
    height, width = size
    margin = -(-max(size) // 2 // align) * align
    rows, columns = slice(margin, margin + height), slice(margin, margin + width)
    depth = np.minimum(
        *(np.minimum(i + 1, n - i) for i, n in zip(np.ogrid[:height, :width], size, strict=True))
    )
    halo = 0
    for index in range(_SCENES):
        image = synth_scene(0, index, (height + 2 * margin, width + 2 * margin)).image.astype(np.float32)
        pixels = np.repeat(image[..., None], channels, axis=2)
        difference = np.abs(_logits(score(pixels)[rows, columns]) - _logits(score(pixels[rows, columns])))
        beyond = depth[difference > 4 * TOLERANCE]
        halo = max(halo, int(beyond.max(initial=0)))
    return -(-halo // 8) * 8


def _logits(scores: np.ndarray) -> np.ndarray:
    scores = np.clip(scores.astype(np.float64), 1e-30, 1 - 1e-6)
    return np.log(scores) - np.log1p(-scores)
