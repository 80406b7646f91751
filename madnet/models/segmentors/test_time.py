"""Test-time augmentation (TTA): one image in several views and scales, and what becomes of their logits."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from mmseg.utils import stack_batch
from torch import Tensor

from madnet.errors import UserError

#: ``test_cfg.views`` → (quarter turns, then mirrored left to right) of each view.
VIEWS = {
    1: ((0, False),),
    2: ((0, False), (0, True)),
    4: ((0, False), (0, True), (2, False), (2, True)),
    8: tuple((turns, mirrored) for turns in range(4) for mirrored in (False, True)),
}
#: ``test_cfg.merge`` → how the logits (S, 1, 1, H, W) of S scales become one map.
MERGES: dict[str, Callable[[Tensor], Tensor]] = {
    'mean': lambda maps: maps.mean(0),
    'max': lambda maps: maps.amax(0),
}
#: What ``test_cfg`` holds unless it says otherwise.
DEFAULTS = {'views': 1, 'scales': (1.0,), 'merge': 'mean'}

_LARGEST = 8


def check_test_time(views: int, scales: Sequence[float], merge: str) -> None:
    """Raise a UserError for a number of views, for scales or a way to merge them that are none."""
    if views not in VIEWS:
        raise UserError(f'views: found {views!r}, expected 1, 2, 4 or 8.')
    numbers = isinstance(scales, Sequence) and all(type(s) in (int, float) for s in scales)
    if not numbers or not scales or len(set(scales)) < len(scales):
        raise UserError(f'scales: found {scales!r}, expected different numbers, such as (1, 0.7, 0.5).')
    if not all(1 / _LARGEST <= s <= _LARGEST for s in scales):
        raise UserError(f'scales: found {scales!r}, expected numbers from 1/{_LARGEST} to {_LARGEST}.')
    if merge not in MERGES:
        raise UserError(f'merge: found {merge!r}, expected {" or ".join(map(repr, MERGES))}.')
    if merge != DEFAULTS['merge'] and len(scales) == 1:
        raise UserError(f'merge: found {merge!r} with the one scale {scales[0]}, expected several scales.')


def over_views(predict: Callable[[Tensor], Tensor], image: Tensor, views: int) -> Tensor:
    """Mean logits (1, K, H, W) over the views of an image (1, C, H, W), as it lies in ``image``.

    Args:
        predict: Logits of an image.
        image: Normalised.
        views: A key of :data:`VIEWS`.
    """
    if views == 1:
        return predict(image)
    total = 0
    for turns, mirrored in VIEWS[views]:
        view = torch.rot90(image, turns, dims=(2, 3))
        logits = predict(view.flip(3) if mirrored else view)
        logits = logits.flip(3) if mirrored else logits
        total = total + torch.rot90(logits, -turns, dims=(2, 3))
    return total / views


def at_scale(
    predict: Callable[[Tensor], Tensor],
    image: Tensor,
    scale: float,
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
    pad_again: dict | None = None,
) -> Tensor:
    """Logits (1, K, H, W) that a network gives an image (1, C, H, W) at another scale.

    The image without its padding is brought to ``round(scale · side)`` pixels, bilinearly (shrunk with a
    filter that widens, so that a target of a pixel is dimmed and not skipped), and the logits back to its own
    size. Pixels at the border stay at the border in both directions.

    Args:
        predict: Logits of an image.
        image: Normalised.
        scale: 1 leaves it as it is.
        padding: Left, right, top and bottom of ``image`` that are padding; the result is 0 there.
        pad_again: ``size`` or ``size_divisor`` to which tests pad images, and ``pad_val``.
    """
    if scale == 1:
        return predict(image)
    left, right, top, bottom = padding
    inner = image[..., top : image.shape[2] - bottom, left : image.shape[3] - right]
    size = [max(1, round(n * scale)) for n in inner.shape[2:]]
    scaled = F.interpolate(inner, size=size, mode='bilinear', align_corners=False, antialias=True)
    padded = stack_batch([scaled[0]], **pad_again)[0] if pad_again else scaled
    logits = predict(padded)[..., : size[0], : size[1]]
    logits = F.interpolate(logits, size=inner.shape[2:], mode='bilinear', align_corners=False)
    return F.pad(logits, (left, right, top, bottom))
