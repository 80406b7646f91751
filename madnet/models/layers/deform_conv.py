"""Deformable convolution, in both versions."""

import functools
import importlib
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from madnet.errors import UserError, nearest

BACKENDS = ('auto', 'torch', 'torchvision')


def deform_conv2d(
    x: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    padding: tuple[int, int] = (0, 0),
    mask: Tensor | None = None,
    backend: str = 'auto',
) -> Tensor:
    """Convolution whose taps are moved, pixel by pixel, and may be weighed (Dai et al., ICCV 2017; version 2:
    Zhu et al., CVPR 2019); stride 1, dilation 1, one group::

        y(o, r, c) = b(o) + Σ over taps t = (i, j) and channels k of
                     W(o, k, i, j) · m_t · x(k, r + i − p_h + Δr_t, c + j − p_w + Δc_t)

    x between pixels is bilinear, every pixel outside of the map counting as 0.

    Args:
        x: Map (B, C, H, W).
        offset: (B, 2 · kh · kw, H', W') in pixels: for every tap, row by row, Δr, then Δc.
        weight: W, (O, C, kh, kw).
        bias: b, (O,).
        padding: (p_h, p_w) in pixels; H' = H + 2 p_h − kh + 1, W' accordingly.
        mask: m, (B, kh · kw, H', W'); None for 1, the first version.
        backend: ``'torchvision'``, its compiled operator; ``'torch'``, in operations that every device,
            compiler and exporter knows; ``'auto'``, the first where torchvision is installed and nothing is
            being compiled or exported.

    Returns:
        Map (B, O, H', W').

    Raises:
        UserError: Unknown backend, or torchvision asked for and not usable.
    """
    if backend not in BACKENDS:
        raise UserError(
            f'backend={backend!r}: unknown, expected one of {", ".join(BACKENDS)}.'
            f'{nearest(backend, BACKENDS)}'
        )
    compiled = None if backend == 'torch' else _compiled()
    if backend == 'torchvision' and compiled is None:
        raise UserError(
            "backend='torchvision': torchvision is not installed, or not one that fits this torch; "
            "install a matching pair, or use backend='torch'"
        )
    if compiled is not None and (backend == 'torchvision' or not torch.compiler.is_compiling()):
        # In half precision the operator fails on a CPU and is too coarse for large maps on a GPU.
        dtype = torch.promote_types(x.dtype, torch.float32)
        x32, offset, weight, bias, mask = (
            None if t is None else t.to(dtype) for t in (x, offset, weight, bias, mask)
        )
        return compiled(x32, offset, weight, bias, padding=padding, mask=mask).to(x.dtype)
    sampled = _sample_taps(x, offset, weight.shape[2:], padding)
    if mask is not None:
        sampled = sampled * mask[:, None]
    return F.conv2d(sampled.flatten(1, 2), weight.flatten(1)[..., None, None], bias)


def _sample_taps(x: Tensor, offset: Tensor, kernel: tuple[int, int], padding: tuple[int, int]) -> Tensor:
    """Map (B, C, H, W) → what every tap sees at every pixel, (B, C, kh · kw, H', W')."""
    batch, channels, height, width = x.shape
    taps, (to_height, to_width) = kernel[0] * kernel[1], offset.shape[2:]
    # Half precision is too coarse for neighbouring pixels of a large map.
    dtype = torch.promote_types(x.dtype, torch.float32)
    steps = functools.partial(torch.arange, device=x.device, dtype=dtype)
    tap_rows, tap_columns = torch.meshgrid(steps(kernel[0]), steps(kernel[1]), indexing='ij')
    moved = offset.to(dtype).view(batch, taps, 2, to_height, to_width)
    rows = moved[:, :, 0] + tap_rows.reshape(-1, 1, 1) + steps(to_height)[:, None] - padding[0]
    columns = moved[:, :, 1] + tap_columns.reshape(-1, 1, 1) + steps(to_width) - padding[1]
    # grid_sample counts from −1 at the map's left rim to 1 at its right one: fine for maps one pixel wide.
    grid = torch.stack([(2 * columns + 1) / width - 1, (2 * rows + 1) / height - 1], dim=-1)
    sampled = F.grid_sample(
        x.to(dtype), grid.flatten(1, 2), mode='bilinear', padding_mode='zeros', align_corners=False
    )
    return sampled.view(batch, channels, taps, to_height, to_width).to(x.dtype)


@functools.cache
def _compiled() -> Callable | None:
    """torchvision's operator; None where torchvision is absent or does not fit this torch."""
    try:
        return importlib.import_module('torchvision.ops').deform_conv2d
    except (ImportError, RuntimeError):
        return None


class DeformConv2d(nn.Conv2d):
    """Deformable convolution that computes its taps' offsets itself, by a convolution of the same kernel.

    That convolution starts at zero, so that this one starts as an ordinary one, with weights as in PyTorch's
    (modulated: every tap at half weight).

    Args:
        in_channels: C.
        out_channels: O.
        kernel_size: (kh, kw), both odd; zero padding keeps the size.
        modulated: Version 2, whose taps have a weight in 0–1 as well.

    Attributes:
        backend: As of :func:`deform_conv2d`.

    Shape:
        (B, C, H, W) → (B, O, H, W).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, int],
        modulated: bool = False,
    ):
        height, width = kernel_size
        super().__init__(in_channels, out_channels, kernel_size, padding=(height // 2, width // 2))
        self.modulated = modulated
        self.backend = 'auto'
        self.taps = height * width
        shifts_and_weights = (3 if modulated else 2) * self.taps
        self.offset = nn.Conv2d(in_channels, shifts_and_weights, kernel_size, padding=self.padding)
        nn.init.zeros_(self.offset.weight)
        nn.init.zeros_(self.offset.bias)

    def make_countable(self) -> None:
        """Without torchvision's operator, of whose cost nothing is known."""
        self.backend = 'torch'

    def forward(self, x: Tensor) -> Tensor:
        predicted = self.offset(x)
        mask = predicted[:, 2 * self.taps :].sigmoid() if self.modulated else None
        offset = predicted[:, : 2 * self.taps]
        return deform_conv2d(x, offset, self.weight, self.bias, self.padding, mask, self.backend)
