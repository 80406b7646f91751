"""The encoder of UIU-Net."""

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from madnet.models.input_check import check_image
from madnet.models.layers.rsu import rsu_at


@MODELS.register_module()
class UIUNetEncoder(BaseModule):
    """Residual U-blocks with 2×2 max-pooling between them: the encoder of UIU-Net (Wu, Hong, Chanussot, TIP
    2023), which is U²-Net's.

    Any image of at least 32×32 pixels will do: where a side is odd, the last row or column is pooled alone,
    so that a map of stride s measures ceil(H / s) × ceil(W / s).

    Args:
        in_channels: Channels of the image, 1 or 3.
        base_channels: D, channels of the first map, even; each next one has twice as many, up to 8·D.
        num_stages: Number of maps.
        init_cfg: As in mmengine.

    Raises:
        InputError: In ``forward``, for an image with other channels or a side below 32 pixels.
    """

    def __init__(
        self,
        in_channels: int = 3,
        base_channels: int = 64,
        num_stages: int = 6,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(init_cfg)
        self.in_channels = in_channels
        self.pyramid_channels = [base_channels * 2 ** min(i, 3) for i in range(num_stages)]
        widths = [in_channels, *self.pyramid_channels]
        self.stages = nn.ModuleList(
            rsu_at(i, widths[i], widths[max(i, 1)] // 2, widths[i + 1]) for i in range(num_stages)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Image (B, in_channels, H, W) → maps (B, Cᵢ, ceil(H / 2ⁱ), ceil(W / 2ⁱ)), i = 0, 1, …"""
        check_image(x, self.in_channels, type(self).__name__)
        maps = []
        for stage in self.stages:
            if maps:
                x = F.max_pool2d(x, kernel_size=2, ceil_mode=True)
            x = stage(x)
            maps.append(x)
        return tuple(maps)
