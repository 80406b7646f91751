"""The blocks of ISNet (Zhang et al., CVPR 2022): edges, and attention along rows and columns."""

import torch
from torch import Tensor, nn

from madnet.models.layers.deform_conv import DeformConv2d


def _difference(channels: int) -> nn.Sequential:
    """Conv3×3 → BN → ReLU → Conv3×3 → BN."""
    layers = nn.Sequential(
        nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
    )
    for i in (0, 3):
        nn.init.kaiming_normal_(layers[i].weight, mode='fan_out', nonlinearity='relu')
    return layers


class TaylorDifference(nn.Module):
    """Taylor finite difference block of ISNet (Zhang et al., CVPR 2022), which sharpens an edge map under the
    guidance of a map of the decoder, as in the published code::

        a = A₁(u);  v = ReLU(A₂(ReLU(u + a)))
        α = σ(BN Conv1×1 ReLU Conv1×1 BN [v, s]);  y = 3 · ReLU(a) + v + W(v ⊙ (1 + α))

    with A two 3×3 convolutions and W a 1×1 one.

    Args:
        channels: C of the edge map.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.first = _difference(channels)
        self.second = _difference(channels)
        self.gate = nn.Sequential(
            nn.BatchNorm2d(channels + 1),
            nn.Conv2d(channels + 1, channels + 1, kernel_size=1),
            nn.ReLU(),
            nn.Conv2d(channels + 1, 1, kernel_size=1),
            nn.BatchNorm2d(1),
            nn.Sigmoid(),
        )
        self.mix = nn.Conv2d(channels, channels, kernel_size=1, bias=False)
        nn.init.xavier_normal_(self.mix.weight)

    def forward(self, u: Tensor, s: Tensor) -> Tensor:
        """Edge map (B, C, H, W) and guide (B, 1, H, W) → (B, C, H, W)."""
        a = self.first(u)
        v = self.second((u + a).relu()).relu()
        gate = self.gate(torch.cat([v, s], dim=1))
        return 3 * a.relu() + v + self.mix(v * (1 + gate))


class TwoOrientationAttention(nn.Module):
    """Two-orientation attention aggregation of ISNet (Zhang et al., CVPR 2022): a deep map gates an encoder's
    map along rows and along columns::

        l = P(deep);  h = P(skip);  y = 2 l + h ⊙ (σ(D_column(l)) + σ(D_row(l)))

    with P two 1×1 convolutions with nothing in between, the same for both maps, and D deformable
    convolutions of 3×1 and 1×3 pixels.

    Args:
        channels: C of both maps, even.
        modulated: Deformable convolutions of version 2 instead of 1; see
            :class:`~madnet.models.layers.DeformConv2d`.
    """

    def __init__(self, channels: int, modulated: bool = False):
        super().__init__()
        self.project = nn.Sequential(
            nn.Conv2d(channels, channels // 2, kernel_size=1),
            nn.Conv2d(channels // 2, channels, kernel_size=1),
        )
        self.row = DeformConv2d(channels, channels, (1, 3), modulated)
        self.column = DeformConv2d(channels, channels, (3, 1), modulated)

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        """Maps (B, C, H, W), the deep one enlarged to the other's size → (B, C, H, W)."""
        deep, skip = self.project(deep), self.project(skip)
        return 2 * deep + skip * (self.column(deep).sigmoid() + self.row(deep).sigmoid())
