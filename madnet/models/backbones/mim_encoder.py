"""The encoder of MiM-ISTD."""

from collections.abc import Sequence
from typing import Any

from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from madnet.errors import UserError, expect_number
from madnet.models.input_check import check_image
from madnet.models.layers import (
    MiMBlock,
    MiMStage,
    MiMStem,
    ResidualBlock,
    SentenceMerge,
    UpsampleBlock,
    WordMerge,
    pad_reflect,
)

SENTENCE_SIDE = 8
"""Pixels along a side of a sentence of the first stage."""


@MODELS.register_module()
class MiMEncoder(BaseModule):
    """Mamba-in-Mamba encoder of MiM-ISTD (Chen et al., TGRS 2024, IEEE document 10740056).

    A sentence of 8×8 pixels holds 4×4 words of 2×2 pixels. In a stage, the first blocks scan the words inside
    every sentence and hand them to it, and all blocks scan the sentences over the image; between stages 2×2
    sentences become one, with twice the channels. Each stage's sentences leave the encoder as a map twice as
    fine as they are.

    Any image of at least 32×32 pixels will do: it is padded by reflection at the right and the bottom to
    whole sentences of the last stage (multiples of 64 pixels for four stages), and the maps are cropped back,
    so that one of stride s measures ceil(H / s) × ceil(W / s).

    Only what takes part in the output has parameters: the published network also carries relative position
    tables and a last normalisation that are never read.

    Args:
        in_channels: Channels of the image, 1 or 3.
        published_layout: Reproduce the published code, which at several places takes channels-last memory for
            channels-first and so mixes positions and channels (in no figure of the paper). Needed for
            published checkpoints; equal to the published network where that is defined, on square images with
            sides that are multiples of 64.
        base_channels: Channels C of a sentence in the first stage, a multiple of 4; doubled by every stage.
        word_channels: Channels k of a word in the first stage, 2 or more; doubled by every stage.
        depths: Blocks of each stage.
        inner_blocks: How many blocks of each stage have the inner, word part: the first ones. 1 as published;
            the paper's figure suggests all.
        fine_channels: Channels of two more maps, of strides 1 and 2, from a residual block each on the image;
            a pixel of the published finest map, of stride 4, is larger than many targets. Empty as published.
        drop_path: Probability in 0–1 of the last block's drop path, growing linearly from 0 over the blocks.
            0 as published.
        ss2d: Further arguments of :class:`~madnet.models.layers.SS2D`, e.g. ``dict(backend='torch')``.

    Raises:
        UserError: Widths or depths that make no network, or ``drop_path`` is not in 0–1.
    """

    def __init__(
        self,
        in_channels: int = 3,
        published_layout: bool = False,
        base_channels: int = 32,
        word_channels: int = 4,
        depths: Sequence[int] = (2, 2, 2, 2),
        inner_blocks: int = 1,
        fine_channels: Sequence[int] = (),
        drop_path: float = 0.0,
        ss2d: dict[str, Any] | None = None,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(init_cfg)
        depths = list(depths)
        if base_channels < 4 or base_channels % 4:
            raise UserError(f'MiMEncoder: base_channels={base_channels}, expected a multiple of 4')
        if word_channels < (2 if len(depths) > 1 else 1):
            raise UserError(
                f'MiMEncoder: word_channels={word_channels}, expected 2 or more: the normalisation between '
                'stages would leave nothing of a single channel'
            )
        if not depths or not 1 <= inner_blocks <= min(depths):
            raise UserError(
                f'MiMEncoder: depths={depths} with inner_blocks={inner_blocks}, expected at least one block '
                'in every stage and 1 <= inner_blocks <= the smallest depth'
            )
        if len(fine_channels) not in (0, 2):
            raise UserError(
                f'MiMEncoder: fine_channels={list(fine_channels)}, expected two widths, of the maps of '
                'strides 1 and 2, or none'
            )
        expect_number(drop_path, 'MiMEncoder.drop_path', least=0, below=1)
        self.in_channels = in_channels
        widths = [base_channels * 2**i for i in range(len(depths))]
        self.pyramid_channels = [*fine_channels, *widths]
        self.multiple = SENTENCE_SIDE * 2 ** (len(depths) - 1)
        self.fine = nn.ModuleList(
            ResidualBlock(before, width, stride)
            for before, width, stride in zip(
                [in_channels, *fine_channels], fine_channels, (1, 2), strict=False
            )
        )
        self.fine.keeps_norms = True  # as the stem: what is rounded here grows on the way
        self.stem = MiMStem(in_channels, base_channels, word_channels)
        self.stages = nn.ModuleList()
        done, total = 0, sum(depths)
        for i, depth in enumerate(depths):
            wide, narrow = widths[i], word_channels * 2**i
            blocks = [
                MiMBlock(
                    wide,
                    narrow if j < inner_blocks else None,
                    drop_path=drop_path * (done + j) / max(1, total - 1),
                    published_layout=published_layout,
                    ss2d=ss2d,
                )
                for j in range(depth)
            ]
            merges = (WordMerge(narrow // 2, narrow), SentenceMerge(wide // 2, wide)) if i else None
            self.stages.append(MiMStage(blocks, merges, UpsampleBlock(wide)))
            done += depth

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Image (B, in_channels, H, W) → maps (B, C·2ⁱ, ceil(H / s), ceil(W / s)), s = 4·2ⁱ, i = 0, 1, …;
        before them, with ``fine_channels``, those of s = 1 and 2."""
        check_image(x, self.in_channels, type(self).__name__)
        height, width = x.shape[2:]
        maps: list[Tensor] = []
        for block in self.fine:
            maps.append(block(maps[-1] if maps else x))
        missing = (-height % self.multiple, -width % self.multiple)
        if any(missing):
            x = pad_reflect(x, left=0, right=missing[1], top=0, bottom=missing[0])
        words, sentences = self.stem(x)
        for i, stage in enumerate(self.stages):
            words, sentences, fine = stage(words, sentences)
            stride = SENTENCE_SIDE // 2 * 2**i
            maps.append(fine[..., : (height + stride - 1) // stride, : (width + stride - 1) // stride])
        return tuple(maps)
