"""Border padding that also serves maps smaller than the padding."""

import torch
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
    if torch.jit.is_tracing():
        # A trace would keep the mode that its own example takes; these indices choose by the size at hand.
        x = x.index_select(-2, _border_index(height, top, bottom, x.device))
        return x.index_select(-1, _border_index(width, left, right, x.device))
    horizontal = 'reflect' if max(left, right) < width else 'replicate'
    vertical = 'reflect' if max(top, bottom) < height else 'replicate'
    if horizontal == vertical:
        return F.pad(x, (left, right, top, bottom), mode=horizontal)
    x = F.pad(x, (left, right, 0, 0), mode=horizontal)
    return F.pad(x, (0, 0, top, bottom), mode=vertical)


def _border_index(size: Tensor, before: int | Tensor, after: int | Tensor, device: torch.device) -> Tensor:
    """Which pixel of an axis each pixel of the padded axis shows, (before + size + after,)."""
    position = torch.arange(-before, size + after, device=device)
    mirrored = (size - 1) - ((size - 1) - position.abs()).abs()
    can_mirror = torch.maximum(torch.as_tensor(before), torch.as_tensor(after)) < size
    return torch.where(can_mirror, mirrored, position).clamp(torch.zeros_like(size), size - 1)
