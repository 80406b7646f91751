"""How far from the border of a tile a network's scores still depend on what lies beyond it."""

from collections.abc import Callable, Iterator

import numpy as np

from madnet.datasets.checks import kept
from madnet.datasets.scenes import synth_scene
from madnet.errors import UserError

from .tiling import Tiling

#: A tile's scores differ from the whole frame's by no more than this further inside than the halo.
TOLERANCE = 1e-3
#: Side in pixels of the tiles that are looked at, where those of the user are no smaller.
_SIDE = 512


def fit_tiling(
    score: Callable[[np.ndarray], np.ndarray],
    channels: int,
    size: tuple[int, int],
    align: int,
    name: str,
    fingerprint: bytes | None = None,
    insist: bool = False,
) -> Tiling:
    """Tiles with the halo that a network needs, and as little overlap as this allows.

    Where a network sees further than half of a tile's overlap could reach, which is so with layers that look
    at all they get, neighbours share a quarter of a tile, and the tiling's note says that scores are
    approximate.

    Args:
        score: (h, w, channels) float32 pixels on the 0–255 scale → (h, w) scores in 0–1.
        channels: Of the pixels.
        size: (Height, width) of a tile in pixels.
        align: Where tiles begin, in pixels.
        name: Of the network, for the note.
        fingerprint: What tells the network from others: what was measured once is kept for it, on this
            machine.
        insist: Whether to refuse where scores would be approximate; a tile's overlap may then be nearly all
            of it, not half.

    Raises:
        UserError: As ``insist`` says.
    """
    side = min(*size, _SIDE)
    halo = _recalled(lambda: measure_halo(score, channels, side, align), fingerprint, f'{side} {align}')
    most = min(size) - align if insist else min(size) // 2
    for overlap in () if halo is None else (2 * halo + align, 2 * halo):
        if overlap <= most:
            return Tiling(size, overlap, align, halo)
    reach = f'{halo} pixels' if halo is not None else f'more than {(side - align) // 2} pixels'
    if insist:
        raise UserError(
            f'overlap: scores of this network depend on what lies {reach} away, too far for tiles of '
            f'{size[0]} × {size[1]}; give larger tiles, or an overlap in pixels.'
        )
    note = (
        f'tiles: scores of {name} depend on what lies {reach} away; in tiles of {size[0]} × {size[1]} they '
        "are approximate: at targets' borders, and whether a faint target is one, they may differ from those "
        'of the whole frame.'
    )
    return Tiling(size, min(size) // 4, align, note=note)


def measure_halo(
    score: Callable[[np.ndarray], np.ndarray], channels: int, side: int, align: int
) -> int | None:
    """Pixels from the border of a tile within which a score can differ by more than :data:`TOLERANCE` from
    that of a larger frame; a multiple of 8. None where no overlap of tiles of this side is enough.

    Tiles are cut out of synthetic frames and their logits compared with those of the whole frames. Where
    logits differ by less than four times the tolerance, scores differ by less than the tolerance whatever
    they are: the slope of the sigmoid is a quarter at most.
    """
    margin = -(-side // 2 // align) * align
    inside = slice(margin, margin + side)
    from_border = np.minimum(np.arange(side) + 1, side - np.arange(side))
    depth = np.minimum.outer(from_border, from_border)
    halo = 0
    for frame in _frames(side + 2 * margin, inside):
        pixels = np.repeat(frame[..., None], channels, axis=2)
        whole, tile = score(pixels)[inside, inside], score(pixels[inside, inside])
        beyond = depth[np.abs(_logits(whole) - _logits(tile)) > 4 * TOLERANCE]
        halo = max(halo, -(-int(beyond.max(initial=0)) // 8) * 8)
        if 2 * halo > side - align:
            return None
    return halo


def _frames(side: int, tile: slice) -> Iterator[np.ndarray]:
    """(side, side) float32 frames: a scene in noise, which means over a whole frame feel most, and one in its
    own surroundings."""
    scene, noise = synth_scene(0, 0, side).image, np.random.default_rng(0).integers(0, 256, (side, side))
    noise[tile, tile] = scene[tile, tile]
    yield noise.astype(np.float32)
    yield synth_scene(0, 1, side).image.astype(np.float32)


def _logits(scores: np.ndarray) -> np.ndarray:
    scores = np.clip(scores.astype(np.float64), 1e-30, 1 - 1e-6)
    return np.log(scores) - np.log1p(-scores)


def _recalled(measure: Callable[[], int | None], fingerprint: bytes | None, how: str) -> int | None:
    """A halo that was measured before, or is now; a network that refuses the frames has none."""
    if fingerprint is None:
        return measure()
    try:
        return kept('halos', (fingerprint, how, TOLERANCE), (), lambda: {'halo': measure()})[0]['halo']
    except UserError:  # such as of frames that are too large for it: prediction says so of tiles, too
        return None
