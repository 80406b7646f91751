"""The encoder of RepISD-Net."""

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from madnet.models.input_check import check_image
from madnet.models.layers import ECB, ConvBNReLU


@MODELS.register_module()
class RepISDEncoder(BaseModule):
    """Two plain convolutions, then stages of two :class:`~madnet.models.layers.ECB` with 2×2 max-pooling
    before each.

    RepISD-Net (Wu et al., "RepISD-Net: Learning Efficient Infrared Small-Target Detection Network via
    Structural Re-Parameterization", TGRS 2023), as in the published code, where the first stage is not
    re-parameterised. Any image of at least 32×32 pixels will do; of an odd side the last row or column is
    left out of the pooling.

    Args:
        in_channels: Channels of the image, 1 or 3.
        base_channels: C. The maps have C, 2C, 2C, … channels.
        num_stages: Number of maps, the plain one included.
        published_fold: See :class:`~madnet.models.layers.ECB`.
    """

    def __init__(
        self,
        in_channels: int = 3,
        base_channels: int = 32,
        num_stages: int = 3,
        published_fold: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(init_cfg)
        self.in_channels = in_channels
        self.pyramid_channels = [base_channels, *[2 * base_channels] * (num_stages - 1)]
        self.stem = nn.Sequential(
            ConvBNReLU(in_channels, base_channels, bias=False),
            ConvBNReLU(base_channels, base_channels, bias=False),
        )
        widths = self.pyramid_channels
        self.stages = nn.ModuleList(
            nn.Sequential(
                ECB(widths[i], widths[i + 1], published_fold),
                ECB(widths[i + 1], widths[i + 1], published_fold),
            )
            for i in range(num_stages - 1)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Image (B, in_channels, H, W) → maps (B, C, H, W) and (B, 2C, floor(H / 2ⁱ), floor(W / 2ⁱ)), i = 1,
        2, …"""
        check_image(x, self.in_channels, type(self).__name__)
        maps = [self.stem(x)]
        for stage in self.stages:
            maps.append(stage(F.max_pool2d(maps[-1], kernel_size=2)))
        return tuple(maps)
