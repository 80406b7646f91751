"""The blocks of MiM-ISTD (Chen et al., TGRS 2024): 4×4 words in a sentence, both scanned."""

from collections import OrderedDict
from collections.abc import Sequence
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks import DropPath
from torch import Tensor, nn

from madnet.models.layers.mamba_block import InvertedResidualFFN, MambaBlock
from madnet.models.layers.ss2d import SS2D

WORD_ROWS = 4
"""Words along a side of a sentence."""
WORDS = WORD_ROWS**2
"""Words of a sentence."""


def map_to_words(x: Tensor) -> Tensor:
    """Map (B, k, 4H, 4W) → words (B, H, W, 16, k) of H×W sentences, row-major inside a sentence."""
    batch, channels, height, width = x.shape  # reshaped by numbers: the ONNX exporter freezes an unflatten
    x = x.reshape(batch, channels, height // WORD_ROWS, WORD_ROWS, width // WORD_ROWS, WORD_ROWS)
    return x.permute(0, 2, 4, 3, 5, 1).flatten(3, 4)


def words_to_map(words: Tensor) -> Tensor:
    """The inverse of :func:`map_to_words`: words (B, H, W, 16, k) → map (B, k, 4H, 4W)."""
    batch, height, width, _, channels = words.shape
    words = words.reshape(batch, height, width, WORD_ROWS, WORD_ROWS, channels).permute(0, 5, 1, 3, 2, 4)
    return words.reshape(batch, channels, WORD_ROWS * height, WORD_ROWS * width)


def _conv_bn_relu(in_channels: int, out_channels: int, stride: int) -> list[nn.Module]:
    return [
        nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    ]


class MiMStem(nn.Module):
    """Stem of MiM-ISTD (Chen et al., TGRS 2024): a word stands for 2×2 pixels, a sentence for 8×8.

    Args:
        in_channels: Channels of the image.
        channels: C, channels of a sentence, a multiple of 4.
        word_channels: k, channels of a word.
    """

    #: Where a frame is flat LayerNorm blows up what is rounded here, a thousandfold.
    keeps_norms = True
    #: Whether a CPU that tests adds up in the same order in every runtime.
    steady = True

    def __init__(self, in_channels: int, channels: int, word_channels: int):
        super().__init__()
        quarter, half = channels // 4, channels // 2
        self.common = nn.Sequential(*_conv_bn_relu(in_channels, quarter, 2))
        self.words = nn.Sequential(*_conv_bn_relu(quarter, word_channels, 1))
        self.sentences = nn.Sequential(
            *_conv_bn_relu(quarter, half, 2),
            *_conv_bn_relu(half, channels, 2),
            *_conv_bn_relu(channels, channels, 1),
        )

    def make_countable(self) -> None:
        """By the convolution that its sums stand for."""
        self.steady = False

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Image (B, in_channels, 8H, 8W) → words (B, H, W, 16, k), sentences (B, H, W, C)."""
        steadily = self.steady and x.is_cpu and not self.training and not torch.is_autocast_enabled('cpu')
        x = self._common(x) if steadily else self.common(x)
        return map_to_words(self.words(x)), self.sentences(x).permute(0, 2, 3, 1)

    def _common(self, x: Tensor) -> Tensor:
        """``self.common(x)``, added up in an order of its own, which is the same in every runtime."""
        conv, norm = self.common[0], self.common[1]
        scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
        shift = norm.bias - norm.running_mean * scale
        padded, total = F.pad(x, (1, 1, 1, 1)), conv.bias.view(-1, 1, 1)
        for row, column, channel in product(range(3), range(3), range(x.shape[1])):
            part = padded[:, channel, None, row : row - 2 or None : 2, column : column - 2 or None : 2]
            total = total + part * conv.weight[:, channel, row, column].view(-1, 1, 1)
        return F.relu(total * scale.view(-1, 1, 1) + shift.view(-1, 1, 1))


class WordBlock(nn.Module):
    """The inner Mamba of MiM-ISTD (Chen et al., TGRS 2024): x + SS2D(LN x) inside each sentence's 4×4 words,
    then x + FFN(LN x) on the map of all words, across sentences. Both norms see a sentence's words at once.

    Args:
        channels: k, channels of a word.
        drop_path, published_layout, ss2d: As in :class:`~madnet.models.layers.MambaBlock`.

    Shape:
        Words (B, H, W, 16, k) of H×W sentences → the same.
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
        self.norm1 = nn.LayerNorm(WORDS * channels)
        self.ss2d = SS2D(channels, published_layout=published_layout, **(ss2d or {}))
        self.norm2 = nn.LayerNorm(WORDS * channels)
        self.ffn = InvertedResidualFFN(channels)
        self.drop_path = DropPath(drop_path)

    def forward(self, words: Tensor) -> Tensor:
        words = words + self.drop_path(self._scan(self._normed(self.norm1, words)))
        return words + self.drop_path(self._feed_forward(self._normed(self.norm2, words)))

    def _normed(self, norm: nn.LayerNorm, words: Tensor) -> Tensor:
        return norm(words.flatten(-2)).view(words.shape)

    def _scan(self, words: Tensor) -> Tensor:
        sentences = words.reshape(-1, WORD_ROWS, WORD_ROWS, words.shape[-1])
        return self.ss2d(sentences).reshape(words.shape)

    def _feed_forward(self, words: Tensor) -> Tensor:
        if not self.published_layout:
            return map_to_words(self.ffn(words_to_map(words)))
        batch, height, width, _, channels = words.shape
        memory = words.reshape(batch, channels, WORD_ROWS * height, WORD_ROWS * width)
        return self.ffn(memory).reshape(words.shape)


class MiMBlock(nn.Module):
    """Block of MiM-ISTD (Chen et al., TGRS 2024): words first, then sentences, which take up their words.

    Args:
        channels: C, channels of a sentence.
        word_channels: k, channels of a word; without it the block works on sentences only and hands words
            through, as every block of a published stage except the first does.
        drop_path, published_layout, ss2d: As in :class:`~madnet.models.layers.MambaBlock`.
    """

    def __init__(
        self,
        channels: int,
        word_channels: int | None = None,
        drop_path: float = 0.0,
        published_layout: bool = False,
        ss2d: dict[str, Any] | None = None,
    ):
        super().__init__()
        self.inner = None
        if word_channels:
            sentence = WORDS * word_channels
            self.inner = WordBlock(word_channels, drop_path, published_layout, ss2d)
            self.proj_norm1 = nn.LayerNorm(sentence)
            self.proj = nn.Linear(sentence, channels, bias=False)
            self.proj_norm2 = nn.LayerNorm(channels)
        self.outer = MambaBlock(channels, drop_path, published_layout, ss2d)

    def forward(self, words: Tensor, sentences: Tensor) -> tuple[Tensor, Tensor]:
        """Words (B, H, W, 16, k) and sentences (B, H, W, C) → the same."""
        if self.inner is not None:
            words = self.inner(words)
            sentences = sentences + self.proj_norm2(self.proj(self.proj_norm1(words.flatten(-2))))
        return words, self.outer(sentences)


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
        batch, height, width = words.shape[:3]
        groups = words.reshape(batch, height // 2, 2, width // 2, 2, *words.shape[3:]).transpose(2, 3)
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


class UpsampleBlock(nn.Sequential):
    """ConvTranspose2×2 (stride 2) → BN → GELU → Conv3×3 → BN → GELU, what follows each stage of MiM-ISTD's
    encoder (Chen et al., TGRS 2024).

    Shape:
        (B, C, H, W) → (B, C, 2H, 2W).
    """

    def __init__(self, channels: int):
        super().__init__(
            OrderedDict(
                transposed_conv=nn.ConvTranspose2d(channels, channels, 2, stride=2),
                bn1=nn.BatchNorm2d(channels),
                gelu1=nn.GELU(),
                conv=nn.Conv2d(channels, channels, 3, padding=1),
                bn2=nn.BatchNorm2d(channels),
                gelu2=nn.GELU(),
            )
        )


class MiMStage(nn.Module):
    """Merging (except in the first stage), then blocks on words and sentences, then a map twice as fine."""

    def __init__(
        self, blocks: Sequence[MiMBlock], merges: tuple[WordMerge, SentenceMerge] | None, up: nn.Module
    ):
        super().__init__()
        self.word_merge = merges[0] if merges else None
        self.sentence_merge = merges[1] if merges else None
        self.blocks = nn.ModuleList(blocks)
        self.up = up

    def forward(self, words: Tensor, sentences: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Words (B, H, W, 16, k) and sentences (B, H, W, C) → words, sentences, map (B, C', 2H', 2W')."""
        if self.word_merge is not None and self.sentence_merge is not None:
            words, sentences = self.word_merge(words), self.sentence_merge(sentences)
        for block in self.blocks:
            words, sentences = block(words, sentences)
        return words, sentences, self.up(sentences.permute(0, 3, 1, 2))


class PatchExpand(nn.Module):
    """Linear (no bias) to the channels of 2×2 pixels, spread over these, LayerNorm: the way up in MiM-ISTD's
    decoder (as in Swin-Unet, Cao et al., 2022).

    Shape:
        (B, in_channels, H, W) → (B, out_channels, 2H, 2W).
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.expand = nn.Linear(in_channels, 4 * out_channels, bias=False)
        self.norm = nn.LayerNorm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.expand(x.permute(0, 2, 3, 1))
        batch, height, width, channels = x.shape
        x = x.reshape(batch, height, width, 2, 2, channels // 4)  # (B, H, W, row, column, C)
        x = x.permute(0, 1, 3, 2, 4, 5).reshape(batch, 2 * height, 2 * width, channels // 4)
        return self.norm(x).permute(0, 3, 1, 2)
