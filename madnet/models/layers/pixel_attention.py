"""Pixel attention: a gate for every channel of every pixel."""

import torch
from torch import Tensor, nn

from .padding import pad_reflect


class PixelAttention(nn.Module):
    """Gate in 0–1 from a depthwise 7×7 convolution with reflected border.

    Part of AdaDCM in MAD-Net (IEEE document 10777476). The paper's figure says "7×7 Conv"; the published
    network uses a depthwise one, as here. A map of fewer than 4 pixels along an axis cannot be mirrored by 3
    and has its edge repeated along that axis.

    Args:
        channels: C of the input and of the gate.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, kernel_size=7, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) → gate (B, C, H, W) in 0–1."""
        return torch.sigmoid(self.conv(pad_reflect(x, 3, 3, 3, 3)))
