"""AdaDCM: the encoder block of MAD-Net."""

import torch.nn.functional as F
from torch import Tensor, nn

from .differential_conv import DifferentialConv
from .pixel_attention import PixelAttention


class AdaDCM(nn.Module):
    """Adaptive differential convolution module of MAD-Net (IEEE document 10777476).

    As in the published network, which has a leading convolution and a last residual that the paper's figure
    omits, and takes the attention from the output of the second convolution::

        x0 = Conv3×3(x);  r = ReLU(DifferentialConv(x0)) + x0;  s = Conv3×3(r);  y = s ⊙ PixelAttention(s) +
        x0

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.

    Shape:
        (B, in_channels, H, W) → (B, out_channels, H, W).
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv_in = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)
        self.differential = DifferentialConv(out_channels)
        self.conv_out = nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1)
        self.attention = PixelAttention(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        shallow = self.conv_in(x)
        edges = F.relu(self.differential(shallow)) + shallow
        mixed = self.conv_out(edges)
        return mixed * self.attention(mixed) + shallow
