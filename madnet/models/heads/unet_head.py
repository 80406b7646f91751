"""What U-shaped decoders with a logit map on every level share."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from madnet.models.heads.pyramid_head import PyramidHead
from madnet.models.layers import DoubleConv, UpConv, enlarge


class UNetHead(PyramidHead):
    """Decoder over a pyramid of n >= 2 maps, each half as large as the one before, whose deepest step has a
    block of its own.

    From the deepest map upward, bilinear ×2, convolution, concatenation behind the encoder's map, then the
    deepest step's block and on the other steps two convolutions. With deep supervision every level has a
    logit map of its own, s1 (finest) to sn (the deepest input); the prediction ``out`` comes from the finest
    level by a 1×1 convolution.

    In training with deep supervision ``forward`` returns ``[s1, …, sn, out]``, otherwise ``out`` alone, at
    the size of the finest map; ``predict`` and ``loss`` bring logits to the size of image and mask.

    Args:
        deepest: Builds the block of the deepest step from its channels before and after.
        deep_supervision: Whether the maps s1 … sn exist and are supervised.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        deepest: Callable[[int, int], nn.Module],
        deep_supervision: bool = True,
        **kwargs,
    ):
        widths = list(in_channels)
        levels = len(widths)
        super().__init__(
            in_channels=widths,
            side_names=[f's{i + 1}' for i in range(levels)] if deep_supervision else (),
            **kwargs,
        )
        self.ups = nn.ModuleList(UpConv(widths[i + 1], widths[i]) for i in range(levels - 1))
        self.decoders = nn.ModuleList(DoubleConv(2 * widths[i], widths[i]) for i in range(levels - 2))
        self.decoders.append(deepest(2 * widths[-2], widths[-2]))
        if deep_supervision:
            self.sides = nn.ModuleList(
                nn.Conv2d(width, self.out_channels, kernel_size=3, padding=1) for width in widths
            )

    def forward(self, inputs: Sequence[Tensor]) -> Tensor | list[Tensor]:
        """Maps (B, Cᵢ, ceil(H / 2ⁱ), ceil(W / 2ⁱ)) → logits (B, 1, H, W) or, in training, several."""
        decoded = self.decode(self._transform_inputs(inputs), self._join)
        out = self.cls_seg(decoded[0])
        if not self.gives_sides:
            return out
        sides = (side(features) for side, features in zip(self.sides, decoded, strict=True))
        return [*(enlarge(logits, 2**i, out.shape[2:]) for i, logits in enumerate(sides)), out]

    def _join(self, level: int, skip: Tensor, below: Tensor) -> Tensor:
        raised = self.ups[level](below, size=skip.shape[2:])
        return self.decoders[level](torch.cat([skip, raised], dim=1))
