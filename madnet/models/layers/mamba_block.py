"""A Mamba block on a map: selective scan, then feed-forward."""

from typing import Any

from mmcv.cnn.bricks import DropPath
from torch import Tensor, nn

from madnet.models.layers.ss2d import SS2D


class InvertedResidualFFN(nn.Module):
    """Feed-forward block of MiM-ISTD (Chen et al., TGRS 2024) on a map, without the residual around it.

    u = BN GELU Conv1×1 (C → 2C), v = u + BN GELU DWConv3×3 (u), y = BN Conv1×1 (2C → C); each composition
    reads from right to left. The last normalisation is in the published code, not in the paper's figure.

    Args:
        channels: C.

    Shape:
        (B, C, H, W) → (B, C, H, W).
    """

    def __init__(self, channels: int):
        super().__init__()
        inner = 2 * channels
        self.widen = nn.Sequential(nn.Conv2d(channels, inner, 1), nn.GELU(), nn.BatchNorm2d(inner))
        self.depthwise = nn.Sequential(
            nn.Conv2d(inner, inner, 3, padding=1, groups=inner), nn.GELU(), nn.BatchNorm2d(inner)
        )
        self.narrow = nn.Sequential(nn.Conv2d(inner, channels, 1), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        x = self.widen(x)
        return self.narrow(x + self.depthwise(x))


class MambaBlock(nn.Module):
    """x + SS2D(LN x), then x + FFN(LN x): the outer half of MiM-ISTD's block (Chen et al., TGRS 2024).

    Args:
        channels: C of the map.
        drop_path: Probability in 0–1 that a branch is left out for a sample in training.
        published_layout: Reproduce the published code, whose SS2D and FFN take channels-last memory for
            channels-first and so mix positions and channels. For published checkpoints.
        ss2d: Further arguments of :class:`~madnet.models.layers.SS2D`, e.g. ``dict(states=8)``.

    Shape:
        (B, H, W, C) → (B, H, W, C).
    """

    def __init__(
        self,
        channels: int,
        drop_path: float = 0.0,
        published_layout: bool = False,
        ss2d: dict[str, Any] | None = None,
    ):
        super().__init__()
        self.published_layout = published_layout
        self.norm1 = nn.LayerNorm(channels)
        self.ss2d = SS2D(channels, published_layout=published_layout, **(ss2d or {}))
        self.norm2 = nn.LayerNorm(channels)
        self.ffn = InvertedResidualFFN(channels)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.ss2d(self.norm1(x)))
        return x + self.drop_path(self._feed_forward(self.norm2(x)))

    def _feed_forward(self, x: Tensor) -> Tensor:
        if not self.published_layout:
            return self.ffn(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        batch, height, width, channels = x.shape
        # Read back the same way, so that at least the residual is aligned.
        return self.ffn(x.reshape(batch, channels, height, width)).reshape(x.shape)
