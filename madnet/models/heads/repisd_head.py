"""The decoder of RepISD-Net."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn

from madnet.errors import UserError
from madnet.models.heads.pyramid_head import PyramidHead
from madnet.models.layers import ECB, AdaptiveAvgPool, ConvBNReLU, resize_like


@MODELS.register_module()
class RepISDHead(PyramidHead):
    """Decoder of RepISD-Net (Wu et al., TGRS 2023) over a pyramid of n >= 2 maps, each half as large as the
    one before.

    From the deepest map upward: bilinear ×2 with aligned corners, concatenation behind the encoder's map and
    two :class:`~madnet.models.layers.ECB`. Over the finest level a pyramid of pooled maps (PSPNet, CVPR
    2017), then Conv3×3 → BN → ReLU → dropout → Conv1×1.

    The published network gives two maps through a sigmoid each, of which its loss and its test use the second
    alone; this head gives that one, as logits.

    Args:
        pool_scales: Sides n of the n×n cells that the finest level is pooled to.
        dropout_ratio: Probability in 0–1 that a channel before the last convolution is dropped in training.
        published_fold: See :class:`~madnet.models.layers.ECB`.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        pool_scales: Sequence[int] = (1, 2, 3, 6),
        dropout_ratio: float = 0.1,
        published_fold: bool = False,
        **kwargs,
    ):
        widths = list(in_channels)
        channels = widths[0] if widths else 0
        super().__init__(
            in_channels=widths,
            channels=channels,
            dropout_ratio=dropout_ratio,
            **kwargs,
        )
        self.decoders = nn.ModuleList()
        below = widths[-1]
        for i in reversed(range(len(widths) - 1)):
            joined, below_next = widths[i] + below, widths[max(i - 1, 0)]
            self.decoders.insert(
                0,
                nn.Sequential(
                    ECB(joined, joined // 2, published_fold), ECB(joined // 2, below_next, published_fold)
                ),
            )
            below = below_next
        pooled = max(1, below // len(pool_scales))
        self.pooling = nn.ModuleList(
            nn.Sequential(AdaptiveAvgPool(n), ConvBNReLU(below, pooled, kernel_size=1, bias=False))
            for n in pool_scales
        )
        self.reduce = ConvBNReLU(below + pooled * len(pool_scales), channels, bias=False)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Maps (B, Cᵢ, H / 2ⁱ, W / 2ⁱ), odd sizes rounded either way → logits (B, 1, H, W)."""
        skips = self._transform_inputs(inputs)
        decoded = skips[-1]
        for skip, decoder in zip(reversed(skips[:-1]), reversed(self.decoders), strict=True):
            decoded = decoder(torch.cat([skip, self._raise(decoded, skip)], dim=1))
        pooled = (resize_like(pool(decoded), decoded, align_corners=True) for pool in self.pooling)
        return self.cls_seg(self.reduce(torch.cat([decoded, *pooled], dim=1)))

    def _raise(self, x: Tensor, skip: Tensor) -> Tensor:
        """Bilinear ×2, then zeros at the right and the bottom where the skip has one row or column more."""
        raised = F.interpolate(x, scale_factor=2, mode='bilinear', align_corners=True)
        lacking = [n - r for n, r in zip(skip.shape[2:], raised.shape[2:], strict=True)]
        if any(abs(n) > 1 for n in lacking):
            (height, width), found = skip.shape[2:], tuple(x.shape[2:])
            raise UserError(
                f'{type(self).__name__}: a map of {height}×{width} is followed by one of '
                f'{found[0]}×{found[1]}, expected {height // 2}×{width // 2}: each must be half as large as '
                "the one before; choose such maps with in_index, or the backbone's strides and dilations "
                'accordingly'
            )
        return F.pad(raised, (0, lacking[1], 0, lacking[0]))
