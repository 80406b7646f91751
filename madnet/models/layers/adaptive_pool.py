"""Adaptive average pooling that can be exported for images of any size."""

import torch
from torch import Tensor, nn


class AdaptiveAvgPool(nn.AdaptiveAvgPool2d):
    """PyTorch's ``AdaptiveAvgPool2d`` to a square of ``output_size`` cells.

    In a trace, as exporters follow it, the same means are taken by two matrix products: ONNX has no such
    pooling for maps whose size is not known beforehand.

    Shape:
        (B, C, H, W) → (B, C, output_size, output_size).
    """

    def forward(self, x: Tensor) -> Tensor:
        if not torch.jit.is_tracing():
            return super().forward(x)
        rows, columns = (_mean_weights(size, self.output_size, x) for size in x.shape[2:])
        return rows @ x @ columns.transpose(0, 1)


def _mean_weights(size: Tensor, cells: int, like: Tensor) -> Tensor:
    """(cells, size): what each pixel of an axis counts in the mean of each cell."""
    cell = torch.arange(cells, device=like.device)
    start, end = cell * size // cells, ((cell + 1) * size + cells - 1) // cells
    position = torch.arange(size, device=like.device)
    inside = (position >= start[:, None]) & (position < end[:, None])
    return inside.to(like.dtype) / (end - start)[:, None].to(like.dtype)
