"""The words of MiM-ISTD: 4×4 to a sentence, as tokens of their sentence or as one map."""

from torch import Tensor

WORD_ROWS = 4
"""Words along a side of a sentence."""
WORDS = WORD_ROWS**2
"""Words of a sentence."""


def map_to_words(x: Tensor) -> Tensor:
    """Map (B, k, 4H, 4W) → words (B, H, W, 16, k) of H×W sentences, row-major inside a sentence."""
    x = x.unflatten(3, (-1, WORD_ROWS)).unflatten(2, (-1, WORD_ROWS))  # (B, k, H, 4, W, 4)
    return x.permute(0, 2, 4, 3, 5, 1).flatten(3, 4)


def words_to_map(words: Tensor) -> Tensor:
    """The inverse of :func:`map_to_words`: words (B, H, W, 16, k) → map (B, k, 4H, 4W)."""
    words = words.unflatten(3, (WORD_ROWS, WORD_ROWS)).permute(0, 5, 1, 3, 2, 4)
    return words.flatten(4, 5).flatten(2, 3)
