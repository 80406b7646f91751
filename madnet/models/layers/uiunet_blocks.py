"""The blocks of UIU-Net (Wu, Hong, Chanussot, TIP 2023): U-Nets in place of convolutions, attention."""

import torch
from torch import Tensor, nn

from madnet.models.layers.cbam import SpatialGate
from madnet.models.layers.conv_blocks import ConvBNReLU
from madnet.models.layers.fusion import batch_of_means, bottleneck
from madnet.models.layers.halve import halve
from madnet.models.layers.resize_like import resize_like


class RSU(nn.Module):
    """Residual U-block (U²-Net: Qin et al., Pattern Recognition 2020, Fig. 2; in UIU-Net "RSU-L").

    A convolution to ``out_channels``; from its map a U-Net of ``depth`` levels, ``mid_channels`` wide; their
    sum. Between levels 2×2 max-pooling, by which the last row or column of an odd side is pooled alone, and
    bilinear resizing to the encoder's map; the last level has a dilation of 2 in place of pooling. Any size
    will do.

    Args:
        mid_channels: Channels inside the U-Net.
        depth: Levels, at least 2.
        dilated: No pooling at all, but a dilation that doubles from level to level ("RSU-4F" at a depth of
            4).

    Shape:
        (B, in_channels, H, W) → (B, out_channels, H, W).
    """

    def __init__(
        self, in_channels: int, mid_channels: int, out_channels: int, depth: int, dilated: bool = False
    ):
        super().__init__()
        down = [2**i if dilated else 1 for i in range(depth - 1)]
        last = 2 ** (depth - 1) if dilated else 2
        self.pooled = not dilated
        self.conv_in = ConvBNReLU(in_channels, out_channels)
        self.down = nn.ModuleList(
            ConvBNReLU(mid_channels if i else out_channels, mid_channels, dilation=dilation)
            for i, dilation in enumerate([*down, last])
        )
        self.up = nn.ModuleList(
            ConvBNReLU(2 * mid_channels, mid_channels if i else out_channels, dilation=dilation)
            for i, dilation in enumerate(down)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        maps = [self.down[0](x)]
        for i, conv in enumerate(self.down[1:], start=1):
            pool = self.pooled and i < len(self.down) - 1
            maps.append(conv(halve(maps[-1]) if pool else maps[-1]))
        y = maps[-1]
        for skip, conv in zip(reversed(maps[:-1]), reversed(self.up), strict=True):
            y = conv(torch.cat([resize_like(y, skip), skip], dim=1))
        return y + x


def rsu_at(level: int, in_channels: int, mid_channels: int, out_channels: int) -> RSU:
    """The block of a stage of U²-Net and UIU-Net: 7 levels deep at the finest stage 0, then 6, 5 and 4, and
    from stage 4 on, where maps are too small to pool, dilated."""
    return RSU(in_channels, mid_channels, out_channels, depth=max(7 - level, 4), dilated=level > 3)


class InteractiveCrossAttention(nn.Module):
    """Interactive-cross attention of UIU-Net (Wu et al., TIP 2023, Fig. 4)::

        high ← ReLU BN Conv1×1(high);  t = top_down(mean over pixels of high)
        s = spatial gate of ReLU BN Conv1×1(low ⊙ t)
        y = [p(2 · low ⊙ t), p(2 · high ⊙ s)],   p = ReLU BN Conv3×3, the same for both

    The deeper map weighs the channels of the detailed one, and what is left of that says where the deeper one
    counts. The factors 2, absent from the figure, are the published code's.

    Args:
        channels: C, channels of ``low``; the output has twice as many.
        high_channels: Channels of ``high``; C by default.

    Raises:
        UserError: In training on a single image: the gate of channels is normalised over the batch alone.
    """

    def __init__(self, channels: int, high_channels: int | None = None):
        super().__init__()
        self.reduce_high = ConvBNReLU(high_channels or channels, channels, kernel_size=1)
        self.top_down = bottleneck(channels, reduction=4)
        self.squeeze = ConvBNReLU(channels, max(1, channels // 4), kernel_size=1)
        self.spatial_gate = SpatialGate(kernel_size=3)
        self.post = ConvBNReLU(channels, channels)

    def forward(self, high: Tensor, low: Tensor) -> Tensor:
        """Maps (B, high_channels, H, W) and (B, C, H, W) → (B, 2·C, H, W)."""
        high = self.reduce_high(high)
        low = low * self.top_down(batch_of_means(high, self.training, type(self).__name__))
        high = high * self.spatial_gate(self.squeeze(low))
        return torch.cat([self.post(2 * low), self.post(2 * high)], dim=1)
