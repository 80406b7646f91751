"""From an image to the words and sentences of MiM-ISTD."""

from torch import Tensor, nn

from .words import map_to_words


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

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Image (B, in_channels, 8H, 8W) → words (B, H, W, 16, k), sentences (B, H, W, C)."""
        x = self.common(x)
        return map_to_words(self.words(x)), self.sentences(x).permute(0, 2, 3, 1)
