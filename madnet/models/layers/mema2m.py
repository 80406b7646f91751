"""MemA²M: the memory-augmented attention module of MAD-Net."""

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks import DropPath
from torch import Tensor, nn

from .conv_blocks import ConvBNReLU
from .memory_attention import MemoryAttention
from .windows import window_partition, window_reverse


class MLP(nn.Module):
    """Linear(C → hidden) → GELU → Linear(hidden → C) on the last axis: (..., C) → (..., C)."""

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class MemA2MBlock(nn.Module):
    """Windowed memory attention and an MLP, each normalised before and added to its input.

    The map may have any size. Along an axis no longer than ``window`` there is one window and no shift; a
    longer axis is rolled by the shift, then filled up with zeros to whole windows, and a window's mean
    counts its real tokens only. On multiples of the window this is the published block exactly.

    Args:
        channels: C of the map.
        window: Side of a window, in pixels of the map.
        shift: Cyclic shift of the windows, in pixels, without mask.
        drop_path: Probability in 0–1 that a branch is left out for a sample in training.
        slots: Columns of the memory bank.
    """

    def __init__(
        self, channels: int, window: int = 16, shift: int = 0, drop_path: float = 0.0, slots: int = 128
    ):
        super().__init__()
        self.window = window
        self.shift = shift
        self.norm1 = nn.LayerNorm(channels)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = MLP(channels, 2 * channels)
        self.attention = MemoryAttention(channels, slots)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C), channels last → map (B, H, W, C)."""
        x = x + self.drop_path(self._attend(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))

    def _attend(self, x: Tensor) -> Tensor:
        height, width = x.shape[1:3]
        window = (min(self.window, height), min(self.window, width))
        # Pooling over the whole axis does not see a roll: one window needs none.
        shift = tuple(self.shift if size > self.window else 0 for size in (height, width))
        missing = (-height % window[0], -width % window[1])
        padded = (height + missing[0], width + missing[1])

        if any(shift):
            x = torch.roll(x, (-shift[0], -shift[1]), dims=(1, 2))
        valid = None
        if any(missing):
            x = _fill_up(x, missing)
            real = _fill_up(x.new_ones(1, height, width, 1), missing)
            valid = window_partition(real, window).sum(dim=1).repeat(x.shape[0], 1)

        x = window_reverse(self.attention(window_partition(x, window), valid), window, padded)
        x = x[:, :height, :width]
        if any(shift):
            x = torch.roll(x, shift, dims=(1, 2))
        return x


def _fill_up(x: Tensor, missing: tuple[int, int]) -> Tensor:
    """Appends zero rows and columns to a map (B, H, W, C)."""
    return F.pad(x, (0, 0, 0, missing[1], 0, missing[0]))


class MemA2M(nn.Module):
    """Memory-augmented attention module of MAD-Net (IEEE document 10777476): Conv-BN-ReLU, then a stack of
    :class:`MemA2MBlock`.

    Every second block shifts its windows by half a window; the probability of drop path grows linearly from
    0 to ``drop_path`` over the stack. Each block has its own memory bank (the paper's figure draws one).

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        depth: Number of blocks.
        window: Side of a window, in pixels of the map.
        drop_path: Probability in 0–1 of the last block's drop path.
        slots: Columns of each memory bank.

    Shape:
        (B, in_channels, H, W) → (B, out_channels, H, W), any H, W >= 1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        depth: int = 4,
        window: int = 16,
        drop_path: float = 0.1,
        slots: int = 128,
    ):
        super().__init__()
        self.stem = ConvBNReLU(in_channels, out_channels)
        self.blocks = nn.Sequential(
            *(
                MemA2MBlock(
                    out_channels,
                    window=window,
                    shift=window // 2 if i % 2 else 0,
                    drop_path=drop_path * i / max(1, depth - 1),
                    slots=slots,
                )
                for i in range(depth)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).permute(0, 2, 3, 1).contiguous()
        return self.blocks(x).permute(0, 3, 1, 2).contiguous()
