"""What encoders with max-pooling between their stages share."""

from collections.abc import Iterable, Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn

from madnet.models.input_check import check_image
from madnet.models.layers import halve


class PoolingEncoder(BaseModule):
    """Stages with 2×2 max-pooling between them, whose outputs are the maps of the pyramid.

    Where a side is odd, the last row or column is pooled alone, so that a map of stride s measures ceil(H /
    s) × ceil(W / s).

    Args:
        in_channels: Channels of the image.
        widths: Channels of the maps.
        stages: What makes each map of the one before, the first of the image; none changes the size.
    """

    def __init__(
        self,
        in_channels: int,
        widths: Sequence[int],
        stages: Iterable[nn.Module],
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(init_cfg)
        self.in_channels = in_channels
        self.pyramid_channels = list(widths)
        self.stages = nn.ModuleList(stages)

    def check(self, x: Tensor) -> None:
        """Raises :class:`~madnet.models.input_check.InputError` unless ``x`` is an image for this network."""
        check_image(x, self.in_channels, type(self).__name__)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Image (B, in_channels, H, W) → maps (B, Cᵢ, ceil(H / 2ⁱ), ceil(W / 2ⁱ)), i = 0, 1, …"""
        self.check(x)
        maps: list[Tensor] = []
        for stage in self.stages:
            if maps:
                x = halve(x)
            x = stage(x)
            maps.append(x)
        return tuple(maps)
