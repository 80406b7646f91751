"""SS2D: a selective scan over a feature map in four directions, with its projections and gate."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from madnet.errors import expect_whole
from madnet.ops import selective_scan_2d


class SS2D(nn.Module):
    """Selective scan over a map along rows and columns, forwards and backwards (VMamba, 2024, figure 3).

    Linear → depthwise 3×3 → SiLU → scan in four directions, summed → LayerNorm → gate → Linear, as in
    MiM-ISTD (Chen et al., 2024; the gate is the second half of the first Linear, through SiLU). The
    projections to Δ, B and C work on pixels, so one product serves all directions, and no direction has a
    copy of its own.

    Parameters have the names and shapes of the published checkpoints. ``A_logs`` and ``Ds`` carry
    ``_no_weight_decay = True``: decaying them would pull every state to the same memory.

    Args:
        dim: C, channels of input and output.
        expand: Inner channels D = expand · C.
        states: N, states of a channel.
        rank: R of the projection to Δ; ⌈C / 16⌉ by default.
        published_layout: Reproduce the published code's re-read of memory at the entrance: channels-first
            memory taken for channels-last, which mixes positions and channels. For published checkpoints.
        backend: Backend of :func:`madnet.ops.selective_scan_2d`.

    Raises:
        UserError: ``expand``, ``states`` or ``rank`` is no whole number from 1 on.

    Shape:
        (B, H, W, C) → (B, H, W, C).
    """

    DIRECTIONS = 4

    def __init__(
        self,
        dim: int,
        expand: int = 2,
        states: int = 16,
        rank: int | None = None,
        published_layout: bool = False,
        backend: str = 'auto',
    ):
        super().__init__()
        for number, called in ((expand, 'expand'), (states, 'states'), (rank or 1, 'rank')):
            expect_whole(number, f'SS2D.{called}', least=1)
        inner = expand * dim
        self.dim, self.states, self.rank = dim, states, rank or math.ceil(dim / 16)
        self.published_layout, self.backend = published_layout, backend
        self.in_proj = nn.Linear(dim, 2 * inner, bias=False)
        self.conv2d = nn.Conv2d(inner, inner, kernel_size=3, padding=1, groups=inner)
        self.x_proj_weight = nn.Parameter(torch.empty(self.DIRECTIONS, self.rank + 2 * states, inner))
        self.dt_projs_weight = nn.Parameter(torch.empty(self.DIRECTIONS, inner, self.rank))
        self.dt_projs_bias = nn.Parameter(torch.empty(self.DIRECTIONS, inner))
        self.A_logs = nn.Parameter(torch.empty(self.DIRECTIONS * inner, states))
        self.Ds = nn.Parameter(torch.empty(self.DIRECTIONS * inner))
        self.out_norm = nn.LayerNorm(inner)
        self.out_proj = nn.Linear(inner, dim, bias=False)
        self.A_logs._no_weight_decay = True
        self.Ds._no_weight_decay = True
        self.reset_scan_parameters()

    @torch.no_grad()
    def reset_scan_parameters(self) -> None:
        """Mamba's start (section 3.6 and appendix): A = −1..−N, D = 1, Δ log-uniform in 0.001 … 0.1."""
        bound = self.x_proj_weight.shape[2] ** -0.5
        nn.init.uniform_(self.x_proj_weight, -bound, bound)
        nn.init.uniform_(self.dt_projs_weight, -(self.rank**-0.5), self.rank**-0.5)
        step = torch.empty_like(self.dt_projs_bias).uniform_(math.log(1e-3), math.log(0.1)).exp_()
        self.dt_projs_bias.copy_(step + torch.log(-torch.expm1(-step)))  # softplus of this is the step
        self.A_logs.copy_(torch.arange(1.0, self.states + 1).log().expand_as(self.A_logs))
        nn.init.ones_(self.Ds)

    def scan(self, v: Tensor) -> Tensor:
        """The four directions over v (B, H, W, D), Δ, B and C made from each pixel, summed."""
        sizes = (self.rank, self.states, self.states)
        joint = F.linear(v, self.x_proj_weight.flatten(0, 1))
        joint = joint.reshape(*v.shape[:-1], self.DIRECTIONS, sum(sizes))
        low, B, C = joint.split(sizes, dim=-1)
        delta = torch.einsum('bhwkr,kdr->bhwkd', low, self.dt_projs_weight)
        return selective_scan_2d(
            v,
            delta,
            -torch.exp(self.A_logs.float()),
            B,
            C,
            self.Ds.float(),
            self.dt_projs_bias.float().flatten(),
            delta_softplus=True,
            backend=self.backend,
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.published_layout:
            x = x.permute(0, 3, 1, 2).contiguous().view_as(x)
        v, gate = self.in_proj(x).chunk(2, dim=-1)
        v = F.silu(self.conv2d(v.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)
        return self.out_proj(self.out_norm(self.scan(v)) * F.silu(gate))
