"""The transformer of SCTransNet."""

from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from madnet.errors import UserError
from madnet.models.layers import ChannelNorm, ConvBNReLU, SCTBlock


@MODELS.register_module()
class SCTransNetNeck(BaseModule):
    """The skip connections of SCTransNet (Yuan et al., TGRS 2024): all levels except the deepest exchange
    channels in :class:`~madnet.models.layers.SCTBlock`.

    Each of those levels is cut into patches that all lie on the grid of the deepest map (a convolution whose
    stride is its kernel's size), passes the blocks and a last normalisation, is enlarged back (bilinear,
    half-pixel centres) and mapped by Conv1×1 → BN → ReLU, and is added to twice the level's own map: once
    inside the published transformer, once around it. (The figure has one skip and no last normalisation.)
    The deepest map passes as it is.

    Args:
        in_channels: Channels of the pyramid's maps, finest first, each half as large as the one before; even
            except in the last.
        depth: Blocks.
        expansion: See :class:`~madnet.models.layers.ComplementaryFFN`.

    Raises:
        UserError: Fewer than two maps, or an odd number of channels; in ``forward``, maps of other sizes.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        depth: int = 4,
        expansion: float = 2.66,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(init_cfg)
        widths = list(in_channels)[:-1]
        odd = [width for width in widths if width % 2]
        if not widths or odd:
            raise UserError(
                f'SCTransNetNeck: in_channels={list(in_channels)}, expected at least 2 maps, and an even '
                'number of channels in each except the last'
            )
        self.pyramid_channels = list(in_channels)
        strides = [2 ** (len(widths) - i) for i in range(len(widths))]
        self.patches = nn.ModuleList(
            nn.Conv2d(width, width, kernel_size=stride, stride=stride)
            for width, stride in zip(widths, strides, strict=True)
        )
        self.blocks = nn.Sequential(*(SCTBlock(widths, expansion) for _ in range(depth)))
        self.norms = nn.ModuleList(ChannelNorm(width) for width in widths)
        self.maps = nn.ModuleList(ConvBNReLU(width, width, kernel_size=1) for width in widths)

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps (B, Cᵢ, H / 2ⁱ, W / 2ⁱ) → maps of the same shapes."""
        *levels, deepest = inputs
        for patch, x in zip(self.patches, levels, strict=True):
            expected = tuple(n * patch.stride[0] for n in deepest.shape[2:])
            if tuple(x.shape[2:]) != expected:
                raise UserError(
                    f'SCTransNetNeck: got a map of {x.shape[2]}×{x.shape[3]}, expected {expected[0]}×'
                    f'{expected[1]}, {patch.stride[0]} times the deepest, {deepest.shape[2]}×'
                    f'{deepest.shape[3]}: pad images so that each map is twice as large as the next'
                )
        tokens = self.blocks([patch(x) for patch, x in zip(self.patches, levels, strict=True)])
        skips = []
        for x, token, norm, mapped in zip(levels, tokens, self.norms, self.maps, strict=True):
            raised = F.interpolate(norm(token), size=x.shape[2:], mode='bilinear', align_corners=False)
            skips.append(mapped(raised) + 2 * x)
        return (*skips, deepest)
