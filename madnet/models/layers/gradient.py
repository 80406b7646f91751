"""Strength of the brightness gradient."""

import torch
import torch.nn.functional as F
from torch import Tensor


def gradient_magnitude(x: Tensor, eps: float = 1e-6) -> Tensor:
    """√(g_v² + g_h² + eps) with the central differences g_v = x(y + 1) − x(y − 1), g_h = x(x + 1) − x(x − 1).

    The edges that ISNet (Zhang et al., CVPR 2022) starts from and is supervised with. Outside of the map x is
    0, so that its frame answers too.

    Args:
        x: Map (B, C, H, W).
        eps: Keeps the root's derivative finite; may be 0 where none is asked for.

    Returns:
        Map (B, C, H, W), each channel on its own.
    """
    padded = F.pad(x, (1, 1, 1, 1))
    vertical = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    horizontal = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    return torch.sqrt(vertical**2 + horizontal**2 + eps)
