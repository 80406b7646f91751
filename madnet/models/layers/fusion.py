"""Fusion of a semantic and a detailed map by gates (ACM), and what other fusions share with it."""

import torch
from torch import Tensor, nn

from madnet.errors import UserError
from madnet.models.layers.conv_blocks import ConvBNReLU


def bottleneck(channels: int, reduction: int) -> nn.Sequential:
    """Conv1×1 → BN → ReLU → Conv1×1 → BN → sigmoid, ``channels`` // ``reduction`` (at least 1) in the middle:
    (B, channels, H, W) → gates (B, channels, H, W) in 0–1."""
    middle = max(1, channels // reduction)
    return nn.Sequential(
        ConvBNReLU(channels, middle, kernel_size=1),
        ConvBNReLU(middle, channels, kernel_size=1, activation=nn.Sigmoid),
    )


class AsymmetricFusion(nn.Module):
    """Asymmetric bidirectional channel fusion of ACM (Dai et al., WACV 2021, Fig. 3)::

        t = top_down(mean over pixels of high);  u = bottom_up(low)
        y = ReLU BN Conv3×3(2 · low ⊙ t + 2 · high ⊙ u)

    Either map is gated by the other: the detailed one channel by channel, the semantic one pixel by pixel.
    The factor 2, absent from the figure, is the published code's.

    Args:
        channels: Channels of ``low`` and of the output.
        high_channels: Channels of ``high``; where it is given, a Conv1×1 → BN → ReLU first brings them to
            ``channels``. None for maps of equal channels and no such convolution.

    Raises:
        UserError: In training on a single image: the top-down gate is normalised over the batch alone.
    """

    def __init__(self, channels: int, high_channels: int | None = None):
        super().__init__()
        self.reduce_high = None
        if high_channels is not None:
            self.reduce_high = ConvBNReLU(high_channels, channels, kernel_size=1)
        self.top_down = bottleneck(channels, reduction=4)
        self.bottom_up = bottleneck(channels, reduction=4)
        self.post = ConvBNReLU(channels, channels)

    def forward(self, high: Tensor, low: Tensor) -> Tensor:
        """Maps (B, high_channels or channels, H, W) and (B, channels, H, W) → (B, channels, H, W)."""
        if self.reduce_high is not None:
            high = self.reduce_high(high)
        top_down = self.top_down(batch_of_means(high, self.training, type(self).__name__))
        return self.post(2 * low * top_down + 2 * high * self.bottom_up(low))


def batch_of_means(x: Tensor, training: bool, layer: str) -> Tensor:
    """Means over the pixels of (B, C, H, W) → (B, C, 1, 1), for a layer that normalises them over the batch.

    Raises:
        UserError: In training with B = 1, unless several processes share their statistics.
    """
    if training and len(x) == 1 and not torch.distributed.is_initialized():
        raise UserError(
            f'{layer} normalises one value per image and channel and cannot be trained on a batch of 1: '
            'set train_dataloader.batch_size to 2 or more, and drop_last=True, or one image may be left over'
        )
    return x.mean(dim=(2, 3), keepdim=True)
