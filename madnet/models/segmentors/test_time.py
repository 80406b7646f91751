"""Test-time augmentation (TTA): one image in several views and scales, and what becomes of their logits."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite

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
DEFAULTS = {'views': 1, 'scales': (1.0,), 'merge': 'mean', 'temperature': 1.0, 'bias': 0.0}

_LARGEST = 8


def check_test_time(views: int, scales: Sequence[float], merge: str, temperature: float, bias: float) -> None:
    """Raise a UserError for views, scales, a way to merge them, a temperature or a bias that are none."""
    if views not in VIEWS:
        raise UserError(f'views: found {views!r}, expected 1, 2, 4 or 8.')
    numbers = isinstance(scales, Sequence) and all(type(s) in (int, float) for s in scales)
    if not numbers or not scales or len(set(scales)) < len(scales):
        raise UserError(f'scales: found {scales!r}, expected different numbers, such as (1, 0.7, 0.5).')
    if not all(1 / _LARGEST <= s <= _LARGEST for s in scales):
        raise UserError(f'scales: found {scales!r}, expected numbers from 1/{_LARGEST} to {_LARGEST}.')
    if merge not in MERGES:
        raise UserError(f'merge: found {merge!r}, expected {" or ".join(map(repr, MERGES))}.')
    if type(temperature) not in (int, float) or not 0 < temperature < float('inf'):
        raise UserError(f'temperature: found {temperature!r}, expected a number above 0.')
    if type(bias) not in (int, float) or not isfinite(bias):
        raise UserError(f'bias: found {bias!r}, expected a number.')
    if merge != DEFAULTS['merge'] and len(scales) == 1:
        raise UserError(f'merge: found {merge!r} with the one scale {scales[0]}, expected several scales.')


def views_of(image: Tensor, views: int) -> Iterator[Tensor]:
    """An image (1, C, H, W) turned and mirrored, one view after the other.

    Args:
        image: Normalised.
        views: A key of :data:`VIEWS`.
    """
    for turns, mirrored in VIEWS[views]:
        view = torch.rot90(image, turns, dims=(2, 3)) if turns else image
        yield view.flip(3) if mirrored else view


def merged_views(logits: Iterator[Tensor], views: int) -> Tensor:
    """Mean logits (1, K, H, W), as the image lies, of the logits of each of its :func:`views_of`."""
    if views == 1:
        return next(logits)
    total = 0
    for turns, mirrored in VIEWS[views]:
        view = next(logits)
        view = view.flip(3) if mirrored else view
        total = total + torch.rot90(view, -turns, dims=(2, 3))
    return total / views


@dataclass(frozen=True)
class Scaling:
    """A network's way to look at an image at another scale.

    The image without its padding is brought to ``round(scale · side)`` pixels, bilinearly (shrunk with a
    filter that widens, so that a target of a pixel is dimmed and not skipped), and the logits back to its own
    size. Pixels at the border stay at the border in both directions.

    Attributes:
        scale: 1 leaves the image as it is.
        padding: Left, right, top and bottom of an image that are padding; the logits are 0 there.
        pad_again: ``size`` or ``size_divisor`` to which tests pad images, and ``pad_val``; or none.
    """

    scale: float
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    pad_again: dict | None = None

    def apply(self, image: Tensor) -> Tensor:
        """An image (1, C, H, W), normalised → what the network sees of it (1, C, h, w)."""
        if self.scale == 1:
            return image
        left, right, top, bottom = self.padding
        inner = image[..., top : image.shape[2] - bottom, left : image.shape[3] - right]
        size = self._size(inner.shape[2:])
        scaled = F.interpolate(inner, size=size, mode='bilinear', align_corners=False, antialias=True)
        return stack_batch([scaled[0]], **self.pad_again)[0] if self.pad_again else scaled

    def undo(self, logits: Tensor, height: int, width: int) -> Tensor:
        """Logits (1, K, h, w) of what :meth:`apply` gave → those (1, K, H, W) of the image, of that size."""
        if self.scale == 1:
            return logits
        left, right, top, bottom = self.padding
        inner = (height - top - bottom, width - left - right)
        size = self._size(inner)
        logits = logits[..., : size[0], : size[1]]
        logits = F.interpolate(logits, size=inner, mode='bilinear', align_corners=False)
        return F.pad(logits, (left, right, top, bottom))

    def _size(self, size: Sequence[int]) -> list[int]:
        return [max(1, round(n * self.scale)) for n in size]
