"""Convolution, normalisation, activation: the plain blocks between the special ones."""

from collections import OrderedDict

from torch import Tensor, nn

from .enlarge import enlarge


class ConvBNReLU(nn.Sequential):
    """Conv3×3 (zero padding 1, with bias) → BatchNorm → ReLU, in PyTorch's default initialisation.

    Shape:
        (B, in_channels, H, W) → (B, out_channels, H, W).
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(
            OrderedDict(
                conv=nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1),
                bn=nn.BatchNorm2d(out_channels),
                relu=nn.ReLU(),
            )
        )


class DoubleConv(nn.Sequential):
    """Two :class:`ConvBNReLU` in a row: (B, in_channels, H, W) → (B, out_channels, H, W)."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(ConvBNReLU(in_channels, out_channels), ConvBNReLU(out_channels, out_channels))


class UpConv(ConvBNReLU):
    """Bilinear ×2, then :class:`ConvBNReLU`.

    Shape:
        (B, in_channels, h, w) → (B, out_channels, 2h, 2w), or (B, out_channels, *size) where a size is given.
    """

    def forward(self, x: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """
        Args:
            x: Map (B, in_channels, h, w).
            size: (H, W) of the map to meet, with ceil(H / 2) = h and ceil(W / 2) = w; (2h, 2w) by default.
        """
        return super().forward(enlarge(x, 2, size or (2 * x.shape[2], 2 * x.shape[3])))
