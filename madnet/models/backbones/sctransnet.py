"""The encoder of SCTransNet."""

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from madnet.models.input_check import InputError, check_image
from madnet.models.layers import ResidualBlock


@MODELS.register_module()
class SCTransNetEncoder(BaseModule):
    """Residual blocks with leaky ReLU and 2×2 max-pooling between them.

    The convolutional encoder of SCTransNet (Yuan et al., "SCTransNet: Spatial-Channel Cross Transformer
    Network for Infrared Small Target Detection", TGRS 2024), whose transformer is
    :class:`~madnet.models.necks.SCTransNetNeck`. It takes images whose sides are multiples of 2ⁿ⁻¹, n the
    number of maps; ``IRSTDSegmentor`` pads others.

    Args:
        in_channels: Channels of the image, 1 or 3.
        base_channels: C. The maps have C, 2C, 4C, … channels, the last as many as the one before.
        num_stages: n.
        init_cfg: As in mmengine.

    Raises:
        InputError: In ``forward``, for an image with other channels, a side below 32 pixels, or sides that
            are no such multiples.
    """

    def __init__(
        self,
        in_channels: int = 1,
        base_channels: int = 32,
        num_stages: int = 5,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(init_cfg)
        self.in_channels = in_channels
        self.pyramid_channels = [base_channels * 2 ** min(i, num_stages - 2) for i in range(num_stages)]
        widths = [in_channels, *self.pyramid_channels]
        self.stages = nn.ModuleList(
            ResidualBlock(widths[i], widths[i + 1], bias=True, activation=nn.LeakyReLU)
            for i in range(num_stages)
        )

    def padded_size(self, height: int, width: int) -> tuple[int, int]:
        """The smallest size that is accepted and holds an image of that one: (height, width) in pixels."""
        step = 2 ** (len(self.stages) - 1)
        return -(-height // step) * step, -(-width // step) * step

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Image (B, in_channels, H, W) → maps (B, Cᵢ, H / 2ⁱ, W / 2ⁱ), i = 0, 1, …"""
        name, size = type(self).__name__, tuple(x.shape[2:])
        check_image(x, self.in_channels, name)
        fitting = self.padded_size(*size)
        if fitting != size:
            raise InputError(
                f'{name} got an image of {size[0]}×{size[1]} pixels (height×width), expected sides that are '
                f'multiples of {2 ** (len(self.stages) - 1)}: pad it to {fitting[0]}×{fitting[1]}'
            )
        maps = []
        for stage in self.stages:
            x = stage(F.max_pool2d(x, kernel_size=2) if maps else x)
            maps.append(x)
        return tuple(maps)
