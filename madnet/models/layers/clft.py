"""The transformer block of ABC."""

import torch
from torch import Tensor, nn

from .bilinear_correlation import BilinearCorrelation
from .conv_blocks import ConvBNReLU


class CLFT(nn.Module):
    """Convolution linear fusion transformer: convolutions, attention with bilinear correlation, feed-forward.

    Of ABC (Pan et al., ICME 2023, fig. 2). v is the sum of three plain convolutions and of three with
    dilations 2, 4, 2; then y = γ · (attention · v) + v + x, where the attention mixes the rows of every
    channel, and the output is ConvBNReLU 3×3 (y) + ConvBNReLU 1×1 (y). γ is learned and starts at zero, so
    that the attention's parts begin to learn one step later.

    Shape:
        (B, in_channels, n, n) → (B, out_channels, n, n), for n = ``side`` only.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        side: n, height and width of the map in pixels; see :class:`BilinearCorrelation`.
    """

    def __init__(self, in_channels: int, out_channels: int, side: int):
        super().__init__()
        self.conv = nn.Sequential(*(ConvBNReLU(in_channels, in_channels) for _ in range(3)))
        self.dilated = nn.Sequential(*(ConvBNReLU(in_channels, in_channels, dilation=d) for d in (2, 4, 2)))
        self.correlation = BilinearCorrelation(in_channels, side)
        self.gamma = nn.Parameter(torch.zeros(1))
        self.gamma._no_weight_decay = True
        self.feedforward = ConvBNReLU(in_channels, out_channels)
        self.shortcut = ConvBNReLU(in_channels, out_channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        v = self.conv(x) + self.dilated(x)
        y = self.gamma * (self.correlation(x) @ v) + v + x
        return self.feedforward(y) + self.shortcut(y)
