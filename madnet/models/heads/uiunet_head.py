"""The decoder of UIU-Net with its deep supervision."""

from collections.abc import Sequence

import torch
from mmseg.registry import MODELS
from torch import Tensor, nn

from madnet.models.heads.pyramid_head import PyramidHead
from madnet.models.layers import InteractiveCrossAttention, resize_like, rsu_at


@MODELS.register_module()
class UIUNetHead(PyramidHead):
    """Decoder of UIU-Net (Wu, Hong, Chanussot, TIP 2023, Fig. 2) over a pyramid of n >= 2 maps.

    From the deepest map upward, bilinear resizing to the encoder's map,
    :class:`~madnet.models.layers.InteractiveCrossAttention` with it (at the finest level a plain
    concatenation), then a residual U-block. Every level has a logit map s1 (finest) … sn (the deepest input);
    the prediction ``out`` is a 1×1 convolution of all of them at the finest size.

    In training ``forward`` returns ``[s1, …, sn, out]`` (the published network's list begins with the
    prediction), otherwise ``out`` alone. Maps are resized straight to the size of their partners, as
    published, also where that is no multiple of theirs.

    Args:
        kwargs: Further arguments of :class:`~madnet.models.heads.PyramidHead`, such as ``loss_decode`` (as
            published: ``MaskBCELoss``), ``loss_weights`` (all 1, as published) and ``soft_targets``.
    """

    def __init__(self, in_channels: Sequence[int], **kwargs):
        widths = list(in_channels)
        levels = len(widths)
        super().__init__(
            in_channels=widths,
            channels=levels,
            side_names=[f's{i + 1}' for i in range(levels)],
            **kwargs,
        )
        # What a level hands upward has the channels of the next finer map.
        decoded = [widths[max(i - 1, 0)] for i in range(levels - 1)] + [widths[-1]]
        self.fusions = nn.ModuleList(
            InteractiveCrossAttention(widths[i], high_channels=decoded[i + 1]) for i in range(1, levels - 1)
        )
        self.decoders = nn.ModuleList(
            rsu_at(
                i,
                2 * widths[i] if i else widths[0] + decoded[1],
                decoded[i] // (2 if i else 4),
                decoded[i],
            )
            for i in range(levels - 1)
        )
        self.sides = nn.ModuleList(
            nn.Conv2d(width, self.out_channels, kernel_size=3, padding=1) for width in decoded
        )

    def forward(self, inputs: Sequence[Tensor]) -> Tensor | list[Tensor]:
        """Maps (B, Cᵢ, Hᵢ, Wᵢ) → logits (B, 1, H₀, W₀) or, in training, several."""
        maps = self._transform_inputs(inputs)
        decoded = [maps[-1]]
        for i in range(len(maps) - 2, -1, -1):
            high = resize_like(decoded[0], maps[i])
            both = self.fusions[i - 1](high, maps[i]) if i else torch.cat([high, maps[0]], dim=1)
            decoded.insert(0, self.decoders[i](both))
        sides = [resize_like(side(x), maps[0]) for side, x in zip(self.sides, decoded, strict=True)]
        out = self.cls_seg(torch.cat(sides, dim=1))
        return [*sides, out] if self.gives_sides else out
