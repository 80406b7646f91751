"""Depthwise convolutions of maps whose border is mirrored, trained in half precision on a GPU."""

import torch
from torch import Tensor

PIXELS = 64  # to a tile, of one row of a map
CHANNELS = 16  # to a tile, at most
PROGRAMS = 96  # for each row of the kernel, with sums of their own


def mirrored_conv(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A depthwise convolution with stride 1 of maps that are mirrored at their border, so that they keep
    their size; without a copy of the map with its border, and without those of its gradient.

    Args:
        x: Map (B, C, H, W), half precision, on a GPU; H and W at least half of the kernel's side, rounded up.
        weight: (C, 1, side, side), of an odd side.
        bias: (C,).

    Returns:
        Map (B, C, H, W).
    """
    return _Conv.apply(x, weight, bias)


class _Conv(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        from .mirrored_conv_kernels import mirrored_kernel

        x, weight = x.permute(0, 2, 3, 1).contiguous(), weight.contiguous()
        ctx.save_for_backward(x, weight)
        y = torch.empty_like(x)
        mirrored_kernel[_grid(x)](x, weight, bias, y, *x.shape[1:], **_shape(x, weight))
        return y.permute(0, 3, 1, 2)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad: Tensor):
        from .mirrored_conv_kernels import gradient_kernel, weight_kernel

        x, weight = ctx.saved_tensors
        grad = grad.permute(0, 2, 3, 1).contiguous()
        of_x = torch.empty_like(x)
        shape = _shape(x, weight)
        gradient_kernel[_grid(x)](grad, weight, of_x, *x.shape[1:], **shape)
        rows, tiles, blocks = _grid(x)
        programs = min(PROGRAMS, tiles * rows)
        parts = x.new_empty(programs, weight.numel() + x.shape[3], dtype=torch.float32)
        weight_kernel[programs, weight.shape[2], blocks](
            x, grad, parts, rows, tiles, *x.shape[1:], SIDE_PADDED=_power(weight.shape[2]), **shape
        )
        of_weight, of_bias = parts.sum(0).split([weight.numel(), x.shape[3]])
        return of_x.permute(0, 3, 1, 2), of_weight.view(weight.shape), of_bias


def _grid(x: Tensor) -> tuple[int, int, int]:
    """Rows, tiles of a row, and blocks of channels of (B, H, W, C)."""
    batch, height, width, channels = x.shape
    shape = _tile(x)
    return batch * height, -(-width // shape['PIXELS']), -(-channels // shape['BLOCK'])


def _tile(x: Tensor) -> dict[str, int]:
    width, channels = x.shape[2:]
    return {'PIXELS': min(PIXELS, _power(width)), 'BLOCK': min(CHANNELS, _power(channels))}


def _shape(x: Tensor, weight: Tensor) -> dict[str, int]:
    return {**_tile(x), 'SIDE': weight.shape[2]}


def _power(number: int) -> int:
    return 1 << (number - 1).bit_length()
