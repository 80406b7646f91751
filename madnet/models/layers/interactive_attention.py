"""Fusion of two maps by interactive attention."""

import torch
from torch import Tensor, nn

from .cbam import SpatialGate
from .conv_blocks import ConvBNReLU
from .fusion import batch_of_means, bottleneck


class InteractiveCrossAttention(nn.Module):
    """Interactive-cross attention of UIU-Net (Wu et al., TIP 2023, Fig. 4)::

        high ← ReLU BN Conv1×1(high);  t = top_down(mean over pixels of high)
        s = spatial gate of ReLU BN Conv1×1(low ⊙ t)
        y = [p(2 · low ⊙ t), p(2 · high ⊙ s)],   p = ReLU BN Conv3×3, the same for both

    The deeper map weighs the channels of the detailed one, and what is left of that says where the deeper one
    counts. The factors 2, which the figure has not, are the published code's.

    Args:
        channels: C, channels of ``low``; the output has twice as many.
        high_channels: Channels of ``high``; C by default.
        reduction: Ratio of the bottleneck in both gates.

    Raises:
        UserError: In training on a single image: the gate of channels is normalised over the batch alone.
    """

    def __init__(self, channels: int, high_channels: int | None = None, reduction: int = 4):
        super().__init__()
        self.reduce_high = ConvBNReLU(high_channels or channels, channels, kernel_size=1)
        self.top_down = bottleneck(channels, reduction)
        self.squeeze = ConvBNReLU(channels, max(1, channels // reduction), kernel_size=1)
        self.spatial_gate = SpatialGate(kernel_size=3)
        self.post = ConvBNReLU(channels, channels)

    def forward(self, high: Tensor, low: Tensor) -> Tensor:
        """Maps (B, high_channels, H, W) and (B, C, H, W) → (B, 2·C, H, W)."""
        high = self.reduce_high(high)
        low = low * self.top_down(batch_of_means(high, self.training, type(self).__name__))
        high = high * self.spatial_gate(self.squeeze(low))
        return torch.cat([self.post(2 * low), self.post(2 * high)], dim=1)
