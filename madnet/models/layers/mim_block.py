"""Mamba-in-Mamba: words inside sentences, both scanned."""

from typing import Any

from mmcv.cnn.bricks import DropPath
from torch import Tensor, nn

from .inverted_ffn import InvertedResidualFFN
from .mamba_block import MambaBlock
from .ss2d import SS2D
from .words import WORD_ROWS, WORDS, map_to_words, words_to_map


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
            through, as every block of a published stage but the first does.
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
