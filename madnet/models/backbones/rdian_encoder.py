"""The encoder of RDIAN."""

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from madnet.models.input_check import check_image
from madnet.models.layers import (
    ChannelGate,
    ConvBNLeakyReLU,
    ReceptiveFieldBlock,
    SpatialGate,
    opposite_contrast,
)


@MODELS.register_module()
class RDIANEncoder(BaseModule):
    """Encoder of RDIAN (Sun et al., "Receptive-field and direction-induced attention network for infrared dim
    small target detection with a large-scale dataset IRDST", TGRS 2023), as in the published code.

    A full-resolution map is strengthened where the image has contrast against opposite sides
    (:func:`~madnet.models.layers.opposite_contrast`), halved, seen through branches of residual blocks with
    kernels of 1, 3, 5 and 7 pixels side by side, merged, and gated by channel and by pixel (CBAM, the channel
    gate with a single hidden unit). The branch of kernel 1 has one block, the others two. Images of any size
    from 32 pixels.

    Args:
        in_channels: Channels of the image, 1 (as published) or 3.
        base_channels: Channels of the full-resolution map, even; the other has twice as many.
    """

    def __init__(
        self,
        in_channels: int = 1,
        base_channels: int = 16,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(init_cfg)
        self.in_channels = in_channels
        fine, coarse = self.pyramid_channels = [base_channels, 2 * base_channels]
        self.conv1 = ConvBNLeakyReLU(in_channels, fine)
        self.conv2 = ConvBNLeakyReLU(fine, coarse, stride=2)
        self.branches = nn.ModuleList(
            nn.Sequential(*(ReceptiveFieldBlock(coarse, kernel_size) for _ in range(blocks)))
            for kernel_size, blocks in ((1, 1), (3, 2), (5, 2), (7, 2))
        )
        self.merge = ConvBNLeakyReLU(4 * coarse, coarse)
        self.channel_gate = ChannelGate(coarse, reduction=coarse, bias=True)
        self.spatial_gate = SpatialGate(mean_first=False, norm=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Image (B, in_channels, H, W) → maps (B, D, H, W), before the strengthening, and
        (B, 2D, ceil(H / 2), ceil(W / 2)), where D = base_channels."""
        check_image(x, self.in_channels, type(self).__name__)
        fine = self.conv1(x)
        coarse = self.conv2(fine + fine * opposite_contrast(x))
        coarse = self.merge(torch.cat([branch(coarse) for branch in self.branches], dim=1))
        coarse = coarse * self.channel_gate(coarse)
        return fine, coarse * self.spatial_gate(coarse)
