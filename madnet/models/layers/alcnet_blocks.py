"""The blocks of ALCNet (Dai et al., TGRS 2021): local contrast, and the fusion after it."""

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor, nn

from madnet.models.layers.fusion import bottleneck

DIRECTIONS = ((1, 1), (1, 0), (1, -1), (0, 1))
"""One (rows, columns) of each of the four pairs of opposite neighbours."""


def patch_contrast(x: Tensor, shift: int) -> Tensor:
    """How much a pixel stands out from the pixels around it, in the direction where it does so least.

    The multi-scale patch-based contrast measure on feature maps (ALCNet: Dai et al., TGRS 2021, eq. 5 and 6),
    by cyclic shifts: the smallest, over the four pairs of opposite neighbours, of the product of the two
    differences. It is large where a pixel is brighter, or darker, than both neighbours of every pair.

    Args:
        x: Map (B, C, H, W).
        shift: Distance of the neighbours along rows and columns, in pixels of the map. Neighbours beyond a
            border are those from the other side.

    Returns:
        Tensor (B, C, H, W).
    """
    products = []
    for rows, columns in DIRECTIONS:
        there = _roll(x, rows * shift, columns * shift)
        opposite = _roll(x, -rows * shift, -columns * shift)
        products.append((there - x) * (opposite - x))
    return reduce(torch.minimum, products)


def _roll(x: Tensor, rows: int, columns: int) -> Tensor:
    """``torch.roll`` of a map; in a trace by indices, as ONNX's slices end where a shift passes the size."""
    if not torch.jit.is_tracing():
        return x.roll((rows, columns), dims=(2, 3))
    for dim, shift in ((2, rows), (3, columns)):
        size = x.shape[dim]
        x = x.index_select(dim, (torch.arange(size, device=x.device) - shift) % size)
    return x


def local_contrast(x: Tensor, shifts: Sequence[int]) -> Tensor:
    """The largest :func:`patch_contrast` over several shifts: (B, C, H, W) → (B, C, H, W)."""
    return reduce(torch.maximum, (patch_contrast(x, shift) for shift in shifts))


class BottomUpFusion(nn.Module):
    """Bottom-up attentional modulation of ALCNet (Dai et al., TGRS 2021, Fig. 5)::

        y = gate(BN low) ⊙ BN high + BN low

    The detailed map decides pixel by pixel what passes of the semantic one. No bottleneck in the gate, as in
    the published network.

    Args:
        channels: Channels of both maps and of the output.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.norm_high = nn.BatchNorm2d(channels)
        self.norm_low = nn.BatchNorm2d(channels)
        self.gate = bottleneck(channels, reduction=1)

    def forward(self, high: Tensor, low: Tensor) -> Tensor:
        """Maps (B, channels, H, W) both → (B, channels, H, W)."""
        low = self.norm_low(low)
        return self.gate(low) * self.norm_high(high) + low
