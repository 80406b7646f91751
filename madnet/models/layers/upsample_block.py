"""Learnt enlargement by two."""

from collections import OrderedDict

from torch import nn


class UpsampleBlock(nn.Sequential):
    """ConvTranspose2×2 (stride 2) → BN → GELU → Conv3×3 → BN → GELU, what follows each stage of MiM-ISTD's
    encoder (Chen et al., TGRS 2024).

    Shape:
        (B, C, H, W) → (B, C, 2H, 2W).
    """

    def __init__(self, channels: int):
        super().__init__(
            OrderedDict(
                transposed_conv=nn.ConvTranspose2d(channels, channels, 2, stride=2),
                bn1=nn.BatchNorm2d(channels),
                gelu1=nn.GELU(),
                conv=nn.Conv2d(channels, channels, 3, padding=1),
                bn2=nn.BatchNorm2d(channels),
                gelu2=nn.GELU(),
            )
        )
