"""Bilinear enlargement that keeps maps of odd sizes aligned."""

from collections.abc import Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor


def enlarge(x: Tensor, factor: int, size: Sequence[int]) -> Tensor:
    """Bilinear × ``factor`` (half-pixel centres), then cut at the right and the bottom to ``size``.

    A map of stride s measures ceil(H / s): resizing it straight to H would stretch it against the map of
    stride 1 wherever s does not divide H, while cutting keeps every pixel in its place.

    Args:
        x: Map (B, C, ceil(H / factor), ceil(W / factor)).
        factor: Ratio of the strides.
        size: (H, W).

    Returns:
        Tensor (B, C, H, W).
    """
    if factor > 1:
        x = _Enlarged.apply(x, factor) if _one_map_in_training(x) else _bilinear(x, factor)
    return x[..., : size[0], : size[1]]


def _bilinear(x: Tensor, factor: int) -> Tensor:
    return F.interpolate(x, scale_factor=factor, mode='bilinear', align_corners=False)


def _one_map_in_training(x: Tensor) -> bool:
    return (
        x.shape[1] == 1
        and x.device.type == 'cpu'
        and x.requires_grad
        and torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
    )


class _Enlarged(torch.autograd.Function):
    """Bilinear enlargement of one-channel maps whose gradient is two matrix products.

    PyTorch's scatters it pixel by pixel where no channels can be taken together: 5 ms on a CPU for eight
    256² logit maps, of which a deeply supervised network has four.
    """

    @staticmethod
    def forward(ctx, x: Tensor, factor: int) -> Tensor:
        ctx.factor, ctx.size = factor, x.shape[2:]
        return _bilinear(x, factor)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        rows, columns = (_shares(length, ctx.factor).to(grad) for length in ctx.size)
        return rows.t() @ grad @ columns, None


@lru_cache(maxsize=64)
def _shares(length: int, factor: int) -> Tensor:
    """(length · factor, length): the share of each pixel of a line in each of the enlarged ones."""
    pixels = torch.eye(length)[None]
    return F.interpolate(pixels, scale_factor=factor, mode='linear')[0].t().contiguous()
