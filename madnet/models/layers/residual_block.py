"""The basic block of ResNet."""

from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """ReLU(x + BN Conv3×3 ReLU BN Conv3×3 x), convolutions without bias (He et al., CVPR 2016).

    Shape:
        (B, C, H, W) → (B, C, H, W).
    """

    def __init__(self, channels: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return (x + self.body(x)).relu()
