"""Bilinear enlargement that keeps maps of odd sizes aligned."""

from collections.abc import Sequence
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from madnet.models.layers.precision import full_precision


def enlarge(x: Tensor, factor: int, size: Sequence[int]) -> Tensor:
    """Bilinear × ``factor`` (half-pixel centres), then cut at the right and the bottom to ``size``.

    A map of stride s measures ceil(H / s): resizing it straight to H would stretch it against the map of
    stride 1 wherever s does not divide H, while cutting keeps every pixel in its place.

    Half precision stays what it is, but for single maps, which are logits: these become float32.

    Args:
        x: Map (B, C, ceil(H / factor), ceil(W / factor)).
        factor: Ratio of the strides.
        size: (H, W).

    Returns:
        Tensor (B, C, H, W).
    """
    if factor > 1:
        kind = torch.float32 if x.shape[1] == 1 and x.dtype.itemsize == 2 else x.dtype
        with full_precision(x):
            by_products = x.is_cuda and x.requires_grad and not torch.compiler.is_compiling()
            x = (_by_products if by_products else _by_pixels)(x.to(kind), factor)
    return x[..., : size[0], : size[1]]


def _by_pixels(x: Tensor, factor: int) -> Tensor:
    return F.interpolate(x, scale_factor=factor, mode='bilinear', align_corners=False)


def _by_products(x: Tensor, factor: int) -> Tensor:
    """The same by one product for each axis.

    On a GPU PyTorch adds the gradient up pixel by pixel in whatever order they come: two to eight times
    slower, and another sum in every run.
    """
    height, width = x.shape[2:]
    rows, columns = (_weights(n, factor, x.dtype, x.device) for n in (height, width))
    if x.shape[1] == 1 or x.is_contiguous():
        return rows @ x @ columns.T
    pixels = x.permute(0, 2, 3, 1)
    high = (rows @ pixels.flatten(2)).unflatten(2, (width, -1))
    return (columns @ high).permute(0, 3, 1, 2)


@cache  # for good: captured graphs read them
def _weights(length: int, factor: int, kind: torch.dtype, device: torch.device) -> Tensor:
    """What each of the given pixels of an axis adds to each enlarged one, (length · factor, length)."""
    with torch.no_grad():
        given = torch.eye(length, device=device)[None, None]
        enlarged = F.interpolate(given, size=(length * factor, length), mode='bilinear', align_corners=False)
        return enlarged[0, 0].to(kind)
