"""The deep block of ABC."""

import torch
from torch import Tensor, nn

from .conv_blocks import ConvBNReLU


class UCDC(nn.Module):
    """U-shaped convolution and dilated convolution: a small U whose inner steps widen by dilation.

    Of ABC (Pan et al., ICME 2023, fig. 4), for its deepest maps: with x₁ a plain convolution of the input, d₁
    and d₂ are convolutions of dilation 2 and 4 at half the channels, d₃ one of dilation 2 on both, and the
    output a plain one on x₁ and d₃. Each is followed by normalisation and ReLU.

    Shape:
        (B, in_channels, H, W) → (B, out_channels, H, W).

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output, even.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        half = out_channels // 2
        self.conv_in = ConvBNReLU(in_channels, out_channels)
        self.down1 = ConvBNReLU(out_channels, half, dilation=2)
        self.down2 = ConvBNReLU(half, half, dilation=4)
        self.up = ConvBNReLU(2 * half, out_channels, dilation=2)
        self.conv_out = ConvBNReLU(2 * out_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        x = self.conv_in(x)
        d1 = self.down1(x)
        d3 = self.up(torch.cat([d1, self.down2(d1)], dim=1))
        return self.conv_out(torch.cat([x, d3], dim=1))
