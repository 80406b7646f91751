"""The basic block of ResNet."""

from collections.abc import Callable

from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """ReLU(shortcut(x) + BN Conv3×3 ReLU BN Conv3×3 x) (He et al., CVPR 2016).

    The shortcut is the identity where channels and size stay, otherwise BN Conv1×1. The first convolution
    and the shortcut take the stride.

    Args:
        out_channels: Channels of the output; as many as ``in_channels`` by default.
        stride: Step between the pixels of the output, in pixels.
        bias: Whether the convolutions have a bias.
        activation: What builds the activations in place of ReLU, e.g. ``nn.LeakyReLU``.

    Shape:
        (B, in_channels, H, W) → (B, out_channels, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int | None = None,
        stride: int = 1,
        bias: bool = False,
        activation: Callable[[], nn.Module] = nn.ReLU,
    ):
        super().__init__()
        out_channels = out_channels or in_channels
        self.body = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=bias),
            nn.BatchNorm2d(out_channels),
            activation(),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=bias),
            nn.BatchNorm2d(out_channels),
        )
        self.stride = stride
        self.shortcut = None
        if in_channels != out_channels or stride != 1:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, bias=bias),
                nn.BatchNorm2d(out_channels),
            )
        self.activation = activation()

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x
        if self.shortcut is not None:
            # The same as a strided 1×1 convolution, whose gradient in oneDNN (torch 2.13, channels last, at
            # most 8 input channels) writes beyond its memory.
            shortcut = self.shortcut(x[..., :: self.stride, :: self.stride])
        return self.activation(shortcut + self.body(x))


def residual_layer(in_channels: int, out_channels: int, blocks: int, stride: int = 1) -> nn.Sequential:
    """``blocks`` residual blocks in a row, of which the first changes channels and size."""
    first = ResidualBlock(in_channels, out_channels, stride)
    return nn.Sequential(first, *(ResidualBlock(out_channels) for _ in range(blocks - 1)))
