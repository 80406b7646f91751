"""3×3 convolutions of few channels, as narrow networks have them, trained in half precision on a GPU.

cuDNN's kernels are made for many channels: at 16 of them they take five times as long as the memory does, at
4 fifty times.
"""

import importlib.util
import os

import torch
import torch.nn.functional as F
from torch import Tensor

HAS_TRITON = importlib.util.find_spec('triton') is not None
INTERPRETED = os.environ.get('TRITON_INTERPRET') == '1'

FEW = 16  # channels that one side has at most
MOST = 32  # and the other
PIXELS = 128  # to a tile
PROGRAMS = 528  # four for each multiprocessor of a large card, each with a sum of its own


def conv3x3(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A 3×3 convolution with stride 1 and zero padding 1.

    Training in half precision on a GPU has kernels of its own where channels are few; all else is PyTorch's.
    Both add up in float32, ours in a fixed order.

    Args:
        x: Map (B, C_in, H, W).
        weight: (C_out, C_in, 3, 3).
        bias: (C_out,).

    Returns:
        Map (B, C_out, H, W).
    """
    kind = x.dtype
    if x.is_cuda and torch.is_autocast_enabled('cuda'):
        kind = torch.get_autocast_dtype('cuda')
    if not _has_kernels(x, weight, kind):
        return F.conv2d(x, weight, bias, padding=1)
    with torch.autocast('cuda', enabled=False):
        return _Conv.apply(x.to(kind), weight.to(kind), None if bias is None else bias.to(kind))


def _has_kernels(x: Tensor, weight: Tensor, kind: torch.dtype) -> bool:
    few, most = sorted(weight.shape[:2])
    return (
        few <= FEW
        and most <= MOST
        and kind in (torch.float16, torch.bfloat16)
        and torch.is_grad_enabled()
        and HAS_TRITON
        and not torch.compiler.is_compiling()
        and x.is_cuda
        and torch.cuda.get_device_capability(x.device) >= (8, 0)
    )


class _Conv(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        x, weight = (t.permute(0, 2, 3, 1).contiguous() for t in (x, weight))
        ctx.save_for_backward(x, weight)
        return _conv(x, weight, bias, weight.shape[0])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad: Tensor):
        x, weight = ctx.saved_tensors
        grad = grad.permute(0, 2, 3, 1).contiguous()
        of_x = _conv(grad, weight, None, x.shape[3], turned=True) if ctx.needs_input_grad[0] else None
        if not any(ctx.needs_input_grad[1:]):
            return of_x, None, None
        of_weight, of_bias = _weight_gradient(x, grad)
        return of_x, of_weight.to(weight.dtype), of_bias.to(weight.dtype) if ctx.needs_input_grad[2] else None


def _conv(x: Tensor, weight: Tensor, bias: Tensor | None, out: int, turned: bool = False) -> Tensor:
    """Map (B, H, W, C) → (B, out, H, W), channels last."""
    from .narrow_conv_kernels import conv_kernel

    batch, height, width, channels = x.shape
    y = x.new_empty(batch, height, width, out)
    pixels = _pixels(width)
    conv_kernel[(-(-width // pixels), batch * height)](
        x,
        weight,
        weight if bias is None else bias,
        y,
        height,
        width,
        C_IN=channels,
        C_OUT=out,
        TAPS=_power(3 * channels),
        OUT=_power(out),
        PIXELS=pixels,
        HAS_BIAS=bias is not None,
        TURNED=turned,
        num_warps=4,
    )
    return y.permute(0, 3, 1, 2)


def _weight_gradient(x: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients (C_out, C_in, 3, 3) and (C_out,), float32, of maps (B, H, W, C)."""
    from .narrow_conv_kernels import weight_kernel

    batch, height, width, channels = x.shape
    out = grad.shape[3]
    # sums for all taps of many channels fill the registers
    pixels = min(_pixels(width), PIXELS if 3 * channels <= 64 else PIXELS // 2)
    tiles = -(-width // pixels)
    programs = min(PROGRAMS, batch * height * tiles)
    parts = x.new_empty(programs, (9 * channels + 1) * out, dtype=torch.float32)
    weight_kernel[(programs,)](
        x,
        grad,
        parts,
        batch * height,
        height,
        width,
        tiles,
        C_IN=channels,
        C_OUT=out,
        TAPS=_power(3 * channels),
        OUT=_power(out),
        PIXELS=pixels,
        num_warps=4,
        num_stages=1,
    )
    weight, bias = parts.sum(0).split([9 * channels * out, out])
    return weight.view(out, 3, 3, channels).permute(0, 3, 1, 2), bias


def _pixels(width: int) -> int:
    return min(PIXELS, _power(width))


def _power(number: int) -> int:
    """The next power of two that a tile of a product may have."""
    return max(16, 1 << (number - 1).bit_length())
