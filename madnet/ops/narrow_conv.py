"""3×3 convolutions of few channels, as narrow networks have them, trained in half precision on a GPU.

cuDNN's kernels are made for many channels: at 16 of them they take five times as long as the memory does, at
4 fifty times.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .half_training import has_kernels

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
    if not takes_float32(x, weight):
        return F.conv2d(x, weight, bias, padding=1)
    return _Conv.apply(x.to(_kind(x)), weight, bias)


def takes_float32(x: Tensor, weight: Tensor) -> bool:
    """Whether :func:`conv3x3` has a kernel for a map, which casts weights as it reads them."""
    few, most = sorted(weight.shape[:2])
    return few <= FEW and most <= MOST and x.is_cuda and has_kernels(x, _kind(x))


def _kind(x: Tensor) -> torch.dtype:
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


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
    # rows on the first axis, since the others end at 65,535
    conv_kernel[(batch * height, -(-width // pixels))](
        x, weight, weight if bias is None else bias, y, height, width,
        HAS_BIAS=bias is not None, TURNED=turned, **_constants(channels, out, pixels),
    )  # fmt: skip
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
        x, grad, parts, batch * height, height, width, tiles,
        **_constants(channels, out, pixels), num_stages=1,
    )  # fmt: skip
    weight, bias = parts.sum(0).split([9 * channels * out, out])
    return weight.view(out, 3, 3, channels).permute(0, 3, 1, 2), bias


def _constants(channels: int, out: int, pixels: int) -> dict[str, int]:
    shape = {'C_IN': channels, 'C_OUT': out, 'TAPS': _power(3 * channels), 'OUT': _power(out)}
    return {**shape, 'PIXELS': pixels, 'num_warps': 4}


def _pixels(width: int) -> int:
    return min(PIXELS, _power(width))


def _power(number: int) -> int:
    """The next power of two that a tile of a product may have."""
    return max(16, 1 << (number - 1).bit_length())
