"""Local contrast as the network layer of ALCNet."""

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor

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
        there = x.roll((rows * shift, columns * shift), dims=(2, 3))
        opposite = x.roll((-rows * shift, -columns * shift), dims=(2, 3))
        products.append((there - x) * (opposite - x))
    return reduce(torch.minimum, products)


def local_contrast(x: Tensor, shifts: Sequence[int]) -> Tensor:
    """The largest :func:`patch_contrast` over several shifts: (B, C, H, W) → (B, C, H, W)."""
    return reduce(torch.maximum, (patch_contrast(x, shift) for shift in shifts))
