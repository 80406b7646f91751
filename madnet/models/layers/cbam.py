"""Convolutional block attention: gates over channels and over pixels, and the residual block around them."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ChannelGate(nn.Module):
    """A gate for every channel: σ(m(mean over pixels) + m(maximum over pixels)), m = Conv1×1 ReLU Conv1×1.

    Channel attention of CBAM (Woo et al., ECCV 2018, eq. 2); m is the same for the mean and for the maximum.

    Args:
        channels: C.
        reduction: The hidden layer of m has C // reduction channels, at least one.
        bias: Whether the two convolutions have a bias.
    """

    def __init__(self, channels: int, reduction: int = 16, bias: bool = False):
        super().__init__()
        hidden = max(1, channels // reduction)
        self.squeeze = nn.Conv2d(channels, hidden, kernel_size=1, bias=bias)
        self.expand = nn.Conv2d(hidden, channels, kernel_size=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) → gate (B, C, 1, 1) in 0–1."""
        pooled = (F.adaptive_avg_pool2d(x, 1), F.adaptive_max_pool2d(x, 1))
        mean, peak = (self.expand(self.squeeze(values).relu()) for values in pooled)
        return torch.sigmoid(mean + peak)


class SpatialGate(nn.Module):
    """A gate for every pixel: σ of a convolution over the mean and the maximum of its channels.

    Spatial attention of CBAM (Woo et al., ECCV 2018, eq. 3), the convolution without bias.

    Args:
        kernel_size: Side of the convolution's kernel, odd; zero padding keeps the size.
        mean_first: Whether the mean is the convolution's first channel and the maximum its second, or the
            other way round: published weights need their own order.
        norm: Whether a BatchNorm stands between the convolution and σ.
    """

    def __init__(self, kernel_size: int = 7, mean_first: bool = True, norm: bool = False):
        super().__init__()
        self.mean_first = mean_first
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)
        self.norm = nn.BatchNorm2d(1) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) → gate (B, 1, H, W) in 0–1."""
        summary = (x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True))
        y = self.conv(torch.cat(summary if self.mean_first else summary[::-1], dim=1))
        return torch.sigmoid(self.norm(y))


class CBAMBlock(nn.Module):
    """Residual block with both gates: ReLU(gated BN Conv3×3 ReLU BN Conv3×3 x + shortcut x).

    The gates act before the sum, first over channels, then over pixels. All convolutions except the gates'
    have a bias. The block of DNANet (Li et al., TIP 2023) and of MSHNet (Liu et al., CVPR 2024).

    Shape:
        (B, in_channels, H, W) → (B, out_channels, H, W).

    Args:
        in_channels: Channels of the input; where they differ from the output's, the shortcut is BN Conv1×1.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1),
            nn.BatchNorm2d(out_channels),
        )
        self.channel_gate = ChannelGate(out_channels)
        self.spatial_gate = SpatialGate()
        self.shortcut = (
            nn.Identity()
            if in_channels == out_channels
            else nn.Sequential(
                nn.Conv2d(in_channels, out_channels, kernel_size=1), nn.BatchNorm2d(out_channels)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        y = y * self.channel_gate(y)
        y = y * self.spatial_gate(y)
        return (y + self.shortcut(x)).relu()


def cbam_stage(in_channels: int, out_channels: int, depth: int) -> nn.Sequential:
    """``depth`` blocks in a row, of which the first changes the channels."""
    return nn.Sequential(*(CBAMBlock(out_channels if i else in_channels, out_channels) for i in range(depth)))
