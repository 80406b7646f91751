"""The basic block of ResNet."""

from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """ReLU(shortcut(x) + BN Conv3×3 ReLU BN Conv3×3 x), convolutions without bias (He et al., CVPR 2016).

    The shortcut is the identity where channels and size stay, otherwise BN Conv1×1. The first convolution
    and the shortcut take the stride.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output; as many as ``in_channels`` by default.
        stride: Step between the pixels of the output, in pixels.

    Shape:
        (B, in_channels, H, W) → (B, out_channels, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(self, in_channels: int, out_channels: int | None = None, stride: int = 1):
        super().__init__()
        out_channels = out_channels or in_channels
        self.body = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.shortcut = None
        if in_channels != out_channels or stride != 1:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.shortcut is None else self.shortcut(x)
        return (shortcut + self.body(x)).relu()


def residual_layer(in_channels: int, out_channels: int, blocks: int, stride: int = 1) -> nn.Sequential:
    """``blocks`` residual blocks in a row, of which the first changes channels and size."""
    first = ResidualBlock(in_channels, out_channels, stride)
    return nn.Sequential(first, *(ResidualBlock(out_channels) for _ in range(blocks - 1)))
