"""Bilinear enlargement that keeps maps of odd sizes aligned."""

from collections.abc import Sequence

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
        x = F.interpolate(x, scale_factor=factor, mode='bilinear', align_corners=False)
    return x[..., : size[0], : size[1]]
