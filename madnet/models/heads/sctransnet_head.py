"""The decoder of SCTransNet with its deep supervision."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn

from madnet.models.heads.pyramid_head import PyramidHead
from madnet.models.layers import CrossGate, DoubleConv, resize_like


@MODELS.register_module()
class SCTransNetHead(PyramidHead):
    """Decoder of SCTransNet (Yuan et al., TGRS 2024) over a pyramid of n >= 2 maps, each half as large as the
    one before.

    From the deepest map upward: each pixel repeated 2×2, the skip gated by :class:`CrossGate`, concatenation
    behind it, two convolutions (ReLU, as in the published code; the figure has leaky ones). The prediction
    ``out`` comes from the finest level by a 1×1 convolution. With deep supervision every other level has a
    logit map too, g2 to gn (the deepest input), enlarged bilinearly with aligned corners, and ``d0`` is a
    1×1 convolution of ``g2 … gn, out``: it is trained, but not what is predicted.

    In training with deep supervision ``forward`` returns ``[gn, …, g2, d0, out]``, otherwise ``out`` alone,
    all at the size of the finest map.

    Args:
        deep_supervision: Whether the other maps exist and are supervised.
        kwargs: Further arguments of :class:`~madnet.models.heads.PyramidHead`, such as ``loss_decode`` and
            ``loss_weights``.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        deep_supervision: bool = True,
        **kwargs,
    ):
        widths = list(in_channels)
        levels = len(widths)
        super().__init__(
            in_channels=widths,
            side_names=[*(f'g{i}' for i in range(levels, 1, -1)), 'd0'] if deep_supervision else (),
            **kwargs,
        )
        # Each level decodes to the width of the skip above it.
        decoded = [widths[max(i - 1, 0)] for i in range(levels - 1)] + [widths[-1]]
        self.gates = nn.ModuleList(CrossGate(widths[i], decoded[i + 1]) for i in range(levels - 1))
        self.decoders = nn.ModuleList(
            DoubleConv(widths[i] + decoded[i + 1], decoded[i]) for i in range(levels - 1)
        )
        if deep_supervision:
            self.sides = nn.ModuleList(nn.Conv2d(width, self.out_channels, 1) for width in decoded[1:])
            self.fuse = nn.Conv2d(levels * self.out_channels, self.out_channels, 1)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor | list[Tensor]:
        """Maps (B, Cᵢ, ceil(H / 2ⁱ), ceil(W / 2ⁱ)) → logits (B, 1, H, W) or, in training, several."""
        decoded = self.decode(self._transform_inputs(inputs), self._join)
        out = self.cls_seg(decoded[0])
        if not self.gives_sides:
            return out
        sides = [
            resize_like(side(x), out, align_corners=True)
            for side, x in zip(self.sides, decoded[1:], strict=True)
        ]
        return [*reversed(sides), self.fuse(torch.cat([*sides, out], dim=1)), out]

    def _join(self, level: int, skip: Tensor, below: Tensor) -> Tensor:
        raised = F.interpolate(below, scale_factor=2, mode='nearest')[..., : skip.shape[2], : skip.shape[3]]
        return self.decoders[level](torch.cat([self.gates[level](skip, raised), raised], dim=1))
