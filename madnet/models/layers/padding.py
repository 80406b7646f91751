"""Border padding that also serves maps smaller than the padding."""

import torch.nn.functional as F
from torch import Tensor


def pad_reflect(x: Tensor, left: int, right: int, top: int, bottom: int) -> Tensor:
    """Reflects the border outward; an axis too short to be mirrored repeats its edge instead.

    Args:
        x: Map (B, C, H, W) with H, W >= 1.
        left, right, top, bottom: Pixels to add on each side.

    Returns:
        Tensor (B, C, H + top + bottom, W + left + right).
    """
    height, width = x.shape[-2:]
    horizontal = 'reflect' if max(left, right) < width else 'replicate'
    vertical = 'reflect' if max(top, bottom) < height else 'replicate'
    if horizontal == vertical:
        return F.pad(x, (left, right, top, bottom), mode=horizontal)
    x = F.pad(x, (left, right, 0, 0), mode=horizontal)
    return F.pad(x, (0, 0, top, bottom), mode=vertical)
