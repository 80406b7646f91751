"""Between two stages of MiM-ISTD: 2×2 sentences become one, with half as many words along each side."""

import torch
from torch import Tensor, nn

from .words import map_to_words, words_to_map


class WordMerge(nn.Module):
    """LayerNorm, then a Conv3×3 of stride 2 on the 8×8 words of each 2×2 sentences, on their own.

    Args:
        in_channels: k of a word.
        out_channels: k of a merged word.

    Shape:
        (B, H, W, 16, in_channels) → (B, H/2, W/2, 16, out_channels), H and W even.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.norm = nn.LayerNorm(in_channels)
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1)

    def forward(self, words: Tensor) -> Tensor:
        words = self.norm(words)
        # (B, H/2, W/2, 2, 2, 16, k), so that zero padding falls on the border of each 2×2 sentences.
        groups = words.unflatten(2, (-1, 2)).unflatten(1, (-1, 2)).transpose(2, 3)
        merged = map_to_words(self.conv(words_to_map(groups.flatten(0, 2))))
        return merged.view(*groups.shape[:3], *merged.shape[-2:])


class SentenceMerge(nn.Module):
    """The four sentences' channels side by side, LayerNorm, Linear without bias (Swin Transformer's merging).

    Args:
        in_channels: C of a sentence.
        out_channels: C of a merged sentence.

    Shape:
        (B, H, W, in_channels) → (B, H/2, W/2, out_channels), H and W even.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.norm = nn.LayerNorm(4 * in_channels)
        self.reduction = nn.Linear(4 * in_channels, out_channels, bias=False)

    def forward(self, sentences: Tensor) -> Tensor:
        parts = [sentences[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(torch.cat(parts, dim=-1)))
