"""A feed-forward block that sees its neighbourhood."""

from torch import Tensor, nn


class InvertedResidualFFN(nn.Module):
    """Feed-forward block of MiM-ISTD (Chen et al., TGRS 2024) on a map, without the residual around it.

    u = BN GELU Conv1×1 (C → 2C), v = u + BN GELU DWConv3×3 (u), y = BN Conv1×1 (2C → C); each composition
    reads from right to left. The last normalisation is in the published code, not in the paper's figure.

    Args:
        channels: C.
        expand: Inner channels over C.

    Shape:
        (B, C, H, W) → (B, C, H, W).
    """

    def __init__(self, channels: int, expand: int = 2):
        super().__init__()
        inner = expand * channels
        self.widen = nn.Sequential(nn.Conv2d(channels, inner, 1), nn.GELU(), nn.BatchNorm2d(inner))
        self.depthwise = nn.Sequential(
            nn.Conv2d(inner, inner, 3, padding=1, groups=inner), nn.GELU(), nn.BatchNorm2d(inner)
        )
        self.narrow = nn.Sequential(nn.Conv2d(inner, channels, 1), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        x = self.widen(x)
        return self.narrow(x + self.depthwise(x))
