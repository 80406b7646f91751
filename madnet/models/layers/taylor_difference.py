"""Edge block inspired by Taylor finite differences."""

import torch
from torch import Tensor, nn


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
