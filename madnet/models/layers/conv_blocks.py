"""Convolution, normalisation, activation: the plain blocks between the special ones."""

from collections import OrderedDict
from collections.abc import Callable

from torch import Tensor, nn

from madnet.models.layers.enlarge import enlarge


class ConvBNReLU(nn.Sequential):
    """Convolution → BatchNorm → ReLU, in PyTorch's default initialisation; the convolution is padded with
    zeros so that at stride 1 the map keeps its size.

    Args:
        kernel_size: Side of the kernel, odd.
        dilation: Step between the taps of the kernel, in pixels.
        bias: Whether the convolution has a bias.
        stride: Step between the pixels of the output, in pixels.
        activation: What builds the activation in place of ReLU, e.g. ``nn.LeakyReLU`` or ``nn.Identity``.

    Shape:
        (B, in_channels, H, W) → (B, out_channels, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        dilation: int = 1,
        bias: bool = True,
        stride: int = 1,
        activation: Callable[[], nn.Module] = nn.ReLU,
    ):
        super().__init__(
            OrderedDict(
                conv=nn.Conv2d(
                    in_channels,
                    out_channels,
                    kernel_size,
                    stride=stride,
                    padding=dilation * (kernel_size // 2),
                    dilation=dilation,
                    bias=bias,
                ),
                bn=nn.BatchNorm2d(out_channels),
                act=activation(),
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
