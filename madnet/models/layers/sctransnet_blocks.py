"""The blocks of SCTransNet (Yuan et al., TGRS 2024): attention over the channels of several maps."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of every pixel: (B, C, H, W) → (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        y = F.layer_norm(x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps)
        return y.permute(0, 3, 1, 2)


def _pointwise(in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False)


def _grouped(channels: int, groups: int, kernel_size: int = 3) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, kernel_size, padding=kernel_size // 2, groups=groups, bias=False)


class CrossChannelAttention(nn.Module):
    """Spatial-embedded single-head channel-cross attention (SSCA) of SCTransNet: every channel of a level
    asks all channels of all levels.

    Queries of level i are Conv3×3 (two channels a group) Conv1×1 of its own normalised map, keys and values
    depthwise Conv3×3 Conv1×1 of the normalised concatenation of all C = ΣCᵢ channels. With the pixels as
    features, and queries and keys of length one over them, level i has ::

        Zᵢ = softmax(InstanceNorm(Qᵢ Kᵀ / √C)) V,     output Conv1×1(Zᵢ)

    where the instance norm takes mean and variance of the whole Cᵢ×C matrix, in evaluation too. The variance
    is of the order of its ε (1e-5), so that neither √C nor ε can be left out, and the norm depends on the
    number of pixels. As in the published code; the figure calls the queries' convolution depthwise and shows
    neither lengths nor √C.

    Args:
        channels: Cᵢ of each level, even.

    Shape:
        Levels' maps (B, Cᵢ, h, w) and their concatenation (B, C, h, w) → maps (B, Cᵢ, h, w).
    """

    def __init__(self, channels: Sequence[int]):
        super().__init__()
        total = sum(channels)
        self.queries = nn.ModuleList(nn.Sequential(_pointwise(c, c), _grouped(c, c // 2)) for c in channels)
        self.keys = nn.Sequential(_pointwise(total, total), _grouped(total, total))
        self.values = nn.Sequential(_pointwise(total, total), _grouped(total, total))
        self.outputs = nn.ModuleList(_pointwise(c, c) for c in channels)

    def forward(self, levels: Sequence[Tensor], joined: Tensor) -> list[Tensor]:
        keys = F.normalize(self.keys(joined).flatten(2), dim=-1)
        values = self.values(joined).flatten(2)
        scale = joined.shape[1] ** -0.5
        attended = []
        for x, query, output in zip(levels, self.queries, self.outputs, strict=True):
            queries = F.normalize(query(x).flatten(2), dim=-1)
            # In float32 also under mixed precision: differences here are of the order of 1e-3.
            scores = (queries @ keys.transpose(1, 2)).float() * scale
            weights = F.instance_norm(scores[:, None], eps=1e-5)[:, 0].softmax(dim=-1)
            attended.append(output((weights.to(values) @ values).view_as(x)))
        return attended


class ComplementaryFFN(nn.Module):
    """Complementary feed-forward network (CFN) of SCTransNet.

    A 1×1 convolution to two halves, one through a depthwise 3×3, the other through a depthwise 5×5
    convolution and both through ReLU, a 1×1 convolution back, and a gate for every channel from its mean and
    its neighbours' (ECA-Net, CVPR 2020). No biases.

    Args:
        channels: C.
        expansion: Each half has int(expansion · C) channels.

    Shape:
        (B, C, H, W) → (B, C, H, W).
    """

    def __init__(self, channels: int, expansion: float = 2.66):
        super().__init__()
        hidden = int(expansion * channels)
        self.widen = _pointwise(channels, 2 * hidden)
        self.fine = _grouped(hidden, hidden, kernel_size=3)
        self.coarse = _grouped(hidden, hidden, kernel_size=5)
        self.narrow = _pointwise(2 * hidden, channels)
        self.gate = nn.Conv1d(1, 1, kernel_size=3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        fine, coarse = self.widen(x).chunk(2, dim=1)
        y = self.narrow(torch.cat([self.fine(fine).relu(), self.coarse(coarse).relu()], dim=1))
        gate = self.gate(y.mean(dim=(2, 3))[:, None]).sigmoid()
        return y * gate[:, 0, :, None, None]


class SCTBlock(nn.Module):
    """Spatial-channel cross transformer block (SCTB) of SCTransNet (Yuan et al., TGRS 2024): maps of several
    levels, all on one grid, exchange channels by :class:`CrossChannelAttention`, then pass one
    :class:`ComplementaryFFN` each; both on normalised maps and added to their input.

    The concatenation that keys and values come from is of the maps themselves, with a normalisation of its
    own.

    Args:
        channels: Cᵢ of each level, even.
        expansion: See :class:`ComplementaryFFN`.

    Shape:
        Maps (B, Cᵢ, h, w) → maps (B, Cᵢ, h, w).
    """

    def __init__(self, channels: Sequence[int], expansion: float = 2.66):
        super().__init__()
        self.norms = nn.ModuleList(ChannelNorm(c) for c in channels)
        self.joined_norm = ChannelNorm(sum(channels))
        self.attention = CrossChannelAttention(channels)
        self.ffn_norms = nn.ModuleList(ChannelNorm(c) for c in channels)
        self.ffns = nn.ModuleList(ComplementaryFFN(c, expansion) for c in channels)

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        joined = self.joined_norm(torch.cat(list(levels), dim=1))
        attended = self.attention([norm(x) for norm, x in zip(self.norms, levels, strict=True)], joined)
        mixed = [x + y for x, y in zip(levels, attended, strict=True)]
        return [x + ffn(norm(x)) for x, norm, ffn in zip(mixed, self.ffn_norms, self.ffns, strict=True)]


class CrossGate(nn.Module):
    """Channel-wise cross attention (CCA) of UCTransNet (Wang et al., AAAI 2022): the skip's channels, gated
    by what the skip and the map from below have in them on average, and ReLU.

    Shape:
        Skip (B, C, H, W) and map from below (B, D, H, W) → (B, C, H, W).
    """

    def __init__(self, skip_channels: int, below_channels: int):
        super().__init__()
        self.skip = nn.Linear(skip_channels, skip_channels)
        self.below = nn.Linear(below_channels, skip_channels)

    def forward(self, skip: Tensor, below: Tensor) -> Tensor:
        gate = (self.skip(skip.mean(dim=(2, 3))) + self.below(below.mean(dim=(2, 3)))) / 2
        return (skip * gate.sigmoid()[..., None, None]).relu()
