"""The blocks of ABC (Pan et al., ICME 2023): its attention, its transformer block, its deep block."""

import torch
from torch import Tensor, nn

from madnet.models.layers.conv_blocks import ConvBNReLU


class BilinearCorrelation(nn.Module):
    """Attention between the rows of a square map, from the correlation of two linear summaries of it.

    Bilinear attention module of ABC (Pan et al., "ABC: Attention with Bilinear Correlation for Infrared Small
    Target Detection", ICME 2023, fig. 3). Two branches bring the map to one channel by a 1×1 convolution and
    its n² pixels to n numbers by a linear layer, a and b; the scores of channel c are w_c · a bᵀ, and a
    softmax over the last axis makes them weights. The scores are of rank one and not scaled, as in the
    published code.

    The linear layers see every pixel at its place: a module serves one side only, and its parameters grow
    with the cube of it. The published convolution of w also has a bias, which the softmax cancels; here it
    has none.

    Args:
        channels: C.
        side: n, height and width of the map in pixels.
    """

    def __init__(self, channels: int, side: int):
        super().__init__()
        self.query = nn.Conv2d(channels, 1, kernel_size=1)
        self.key = nn.Conv2d(channels, 1, kernel_size=1)
        self.query_line = nn.Linear(side * side, side)
        self.key_line = nn.Linear(side * side, side)
        self.expand = nn.Conv2d(1, channels, kernel_size=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, n, n) → weights (B, C, n, n) in 0–1, which sum to one along the last axis."""
        a = self.query_line(self.query(x).flatten(1))
        b = self.key_line(self.key(x).flatten(1))
        scores = a[:, None, :, None] * b[:, None, None, :]
        return torch.softmax(self.expand(scores), dim=-1)


class CLFT(nn.Module):
    """Convolution linear fusion transformer: convolutions, attention with bilinear correlation, feed-forward.

    From ABC (Pan et al., ICME 2023, fig. 2). v is the sum of three plain convolutions and of three with
    dilations 2, 4, 2; then y = γ · (attention · v) + v + x, where the attention mixes the rows of every
    channel, and the output is ConvBNReLU 3×3 (y) + ConvBNReLU 1×1 (y). γ is learned and starts at zero, so
    that the attention's parts begin to learn one step later.

    Shape:
        (B, in_channels, n, n) → (B, out_channels, n, n), for n = ``side`` only.

    Args:
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
        v = self.conv(x) + self.dilated(x)
        y = self.gamma * (self.correlation(x) @ v) + v + x
        return self.feedforward(y) + self.shortcut(y)


class UCDC(nn.Module):
    """U-shaped convolution and dilated convolution: a small U whose inner steps widen by dilation.

    From ABC (Pan et al., ICME 2023, fig. 4), for its deepest maps: with x₁ a plain convolution of the input,
    d₁ and d₂ are convolutions of dilation 2 and 4 at half the channels, d₃ one of dilation 2 on both, and the
    output a plain one on x₁ and d₃. Each is followed by normalisation and ReLU.

    Shape:
        (B, in_channels, H, W) → (B, out_channels, H, W).

    Args:
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
        x = self.conv_in(x)
        d1 = self.down1(x)
        d3 = self.up(torch.cat([d1, self.down2(d1)], dim=1))
        return self.conv_out(torch.cat([x, d3], dim=1))
