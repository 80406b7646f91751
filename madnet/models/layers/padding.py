"""Border padding that also serves maps smaller than the padding."""

import torch
import torch.nn.functional as F
from torch import Tensor

from madnet.models.layers.precision import full_precision


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
    if horizontal == vertical == 'reflect' and x.is_cuda and x.requires_grad:
        return _Reflected.apply(_Reflected.apply(x, -1, left, right), -2, top, bottom)
    with full_precision(x):  # a CPU's autocast would go to float32 and back
        if horizontal == vertical:
            return F.pad(x, (left, right, top, bottom), mode=horizontal)
        x = F.pad(x, (left, right, 0, 0), mode=horizontal)
        return F.pad(x, (0, 0, top, bottom), mode=vertical)


class _Reflected(torch.autograd.Function):
    """One axis reflected at both ends. On a GPU the gradient of PyTorch's padding is added up pixel by pixel
    in whatever order they come: slower, and another sum in every run."""

    @staticmethod
    def forward(ctx, x: Tensor, axis: int, before: int, after: int) -> Tensor:
        ctx.given = axis, before, after
        last = x.shape[axis] - 1
        ends = x.narrow(axis, 1, before), x.narrow(axis, last - after, after)
        parts = [ends[0].flip(axis), x, ends[1].flip(axis)]
        return torch.cat([part for part in parts if part.shape[axis]], axis)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad: Tensor):
        axis, before, after = ctx.given
        size = grad.shape[axis] - before - after
        channels_last = grad.is_contiguous(memory_format=torch.channels_last)
        layout = torch.channels_last if channels_last else torch.contiguous_format
        inner = grad.narrow(axis, before, size).clone(memory_format=layout)
        inner.narrow(axis, 1, before).add_(grad.narrow(axis, 0, before).flip(axis))
        inner.narrow(axis, size - 1 - after, after).add_(grad.narrow(axis, before + size, after).flip(axis))
        return inner, None, None, None


def _border_index(size: Tensor, before: int | Tensor, after: int | Tensor, device: torch.device) -> Tensor:
    """Which pixel of an axis each pixel of the padded axis shows, (before + size + after,)."""
    position = torch.arange(-before, size + after, device=device)
    mirrored = (size - 1) - ((size - 1) - position.abs()).abs()
    can_mirror = torch.maximum(torch.as_tensor(before), torch.as_tensor(after)) < size
    return torch.where(can_mirror, mirrored, position).clamp(torch.zeros_like(size), size - 1)
