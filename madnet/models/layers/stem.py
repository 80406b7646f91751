"""First layers of the residual networks for infrared images."""

from torch import nn

from .conv_blocks import ConvBNReLU


class Stem4(nn.Sequential):
    """BN of the image, three Conv3×3 → BN → ReLU without bias, the first at stride 2, then a 3×3 max-pool at
    stride 2: what ACM (Dai et al., WACV 2021) begins with, and ALCNet and ISNet after it.

    Args:
        in_channels: Channels of the image.
        out_channels: Channels of the map, even; the first two convolutions have half as many.
        affine: Whether the image's normalisation has learnt factors and offsets.

    Shape:
        (B, in_channels, H, W) → (B, out_channels, ceil(H / 4), ceil(W / 4)).
    """

    def __init__(self, in_channels: int, out_channels: int = 16, affine: bool = True):
        half = out_channels // 2
        super().__init__(
            nn.BatchNorm2d(in_channels, affine=affine),
            ConvBNReLU(in_channels, half, bias=False, stride=2),
            ConvBNReLU(half, half, bias=False),
            ConvBNReLU(half, out_channels, bias=False),
            nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
        )


class Stem1(nn.Sequential):
    """BN of the image, then Conv3×3 → BN → ReLU without bias, at full resolution: the stem of the released
    ALCNet (Dai et al., TGRS 2021) and of the released, "tiny" ACM.

    Args:
        in_channels: Channels of the image.
        out_channels: Channels of the map.
        affine: Whether the image's normalisation has learnt factors and offsets.

    Shape:
        (B, in_channels, H, W) → (B, out_channels, H, W).
    """

    def __init__(self, in_channels: int, out_channels: int = 16, affine: bool = True):
        super().__init__(
            nn.BatchNorm2d(in_channels, affine=affine), ConvBNReLU(in_channels, out_channels, bias=False)
        )
