"""Layer normalisation in half precision, with weights in float32."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .half_training import has_kernels

TILE = 2048  # values to a step of a program
PROGRAMS = 528  # four for each multiprocessor of a large card, each with sums of its own


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Layer normalisation over the last axis, which keeps half precision in training.

    Autocast would go to float32 and so stay there, with a cast on the way in and one for each product that
    follows, and as many back; sums are taken in float32 here too. All else is PyTorch's.

    Args:
        x: (…, C).
        weight, bias: (C,).
        eps: Added to the variance.

    Returns:
        Tensor (…, C).
    """
    if has_kernels(x, x.dtype):
        return _LayerNorm.apply(x, weight, bias, eps)
    if x.device.type == 'cpu' and x.dtype == torch.bfloat16:  # takes weights in float32 with it
        with torch.autocast('cpu', enabled=False):
            return F.layer_norm(x, weight.shape, weight, bias, eps)
    return F.layer_norm(x, weight.shape, weight, bias, eps)


class _LayerNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        from .layer_norm_kernels import normalise_kernel

        x = x.contiguous()
        ctx.save_for_backward(x, weight)
        ctx.eps = eps
        y = torch.empty_like(x)
        rows, shape = _shape(x)
        normalise_kernel[(-(-rows // shape['ROWS']),)](x, weight, bias, y, rows, eps, **shape)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad: Tensor):
        from .layer_norm_kernels import gradient_kernel

        x, weight = ctx.saved_tensors
        of_x = torch.empty_like(x)
        rows, shape = _shape(x)
        programs = min(PROGRAMS, -(-rows // shape['ROWS']))
        parts = x.new_empty(programs, 2, x.shape[-1], dtype=torch.float32)
        gradient_kernel[(programs,)](x, weight, grad.contiguous(), of_x, parts, rows, ctx.eps, **shape)
        return of_x, *parts.sum(0), None


def _shape(x: Tensor) -> tuple[int, dict[str, int]]:
    """Rows of x, and the shape of a tile of them."""
    channels = x.shape[-1]
    width = 1 << (channels - 1).bit_length()
    return x.numel() // channels, {'CHANNELS': channels, 'WIDTH': width, 'ROWS': max(1, TILE // width)}
