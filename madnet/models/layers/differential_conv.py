"""Differential convolution: four ways to write one 3×3 kernel, learnt together."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .foldable import Foldable

# Each border cell of the 3×3 kernel (flat, row by row) and the one before it on a clockwise walk around the
# centre.
_PRECEDING_CELL = (3, 0, 1, 6, 4, 2, 7, 8, 5)

_BRANCHES = ('horizontal', 'vertical', 'angular', 'plain')


class DifferentialConv(Foldable):
    """A 3×3 convolution whose kernel is a learnt mix of difference kernels and a plain one.

    The branches of AdaDCM in MAD-Net (IEEE document 10777476): horizontal differences (left minus right
    column), vertical differences (upper minus lower row), angular differences (each border cell minus its
    neighbour) and a plain kernel, each with its own bias; four unconstrained scalars γ scale kernels *and*
    biases before they are summed. Convolution is linear, so the sum is taken over kernels: there is ONE
    convolution per forward, in training too.

    Args:
        channels: C of input and output.
        deploy: Start in the deployed form, a plain convolution.

    Shape:
        (B, C, H, W) → (B, C, H, W); stride 1, zero padding 1.
    """

    def __init__(self, channels: int, deploy: bool = False):
        super().__init__()
        self.deployed = deploy
        if deploy:
            self.fused = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
            return
        self.gamma = nn.ParameterDict({name: nn.Parameter(torch.ones(1)) for name in _BRANCHES})
        for gamma in self.gamma.values():
            gamma._no_weight_decay = True
        # Holders of weights with the initialisation of their kind; none of them is ever called.
        self.horizontal = nn.Conv1d(channels, channels, kernel_size=3)
        self.vertical = nn.Conv1d(channels, channels, kernel_size=3)
        self.angular = nn.Conv2d(channels, channels, kernel_size=3)
        self.plain = nn.Conv2d(channels, channels, kernel_size=3)

    def branch_kernels(self) -> dict[str, Tensor]:
        """The unscaled 3×3 kernel of every branch, each (C_out, C_in, 3, 3)."""
        column, row, cells = self.horizontal.weight, self.vertical.weight, self.angular.weight
        preceding = cells.flatten(2)[..., list(_PRECEDING_CELL)].view_as(cells)
        return {
            'horizontal': torch.stack([column, torch.zeros_like(column), -column], dim=-1),
            'vertical': torch.stack([row, torch.zeros_like(row), -row], dim=-2),
            'angular': cells - preceding,
            'plain': self.plain.weight,
        }

    def fused_kernel(self) -> tuple[Tensor, Tensor]:
        """Kernel (C_out, C_in, 3, 3) and bias (C_out,) that the branches amount to, differentiable."""
        kernels = self.branch_kernels()
        weight = sum(self.gamma[name] * kernels[name] for name in _BRANCHES)
        bias = sum(self.gamma[name] * getattr(self, name).bias for name in _BRANCHES)
        return weight, bias

    def forward(self, x: Tensor) -> Tensor:
        if self.deployed:
            return self.fused(x)
        return F.conv2d(x, *self.fused_kernel(), padding=1)
