"""The bottleneck of MAD-Net, as a neck for any backbone."""

from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor

from madnet.models.layers import MemA2M


@MODELS.register_module()
class MemA2MNeck(BaseModule):
    """Adds one deeper map to a pyramid: 2×2 max-pooling, then :class:`~madnet.models.layers.MemA2M`.

    The fifth stage of MAD-Net (IEEE document 10777476); it only needs the pyramid's last map and its
    channels, so it fits behind any backbone. Of an odd side the last row or column is pooled alone.

    Args:
        in_channels: Channels of the pyramid's maps, finest first.
        out_channels: Channels of the added map; twice those of the last one by default.
        mema2m: Further arguments of ``MemA2M``, e.g. ``dict(slots=64)``.
        init_cfg: As in mmengine.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int | None = None,
        mema2m: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(init_cfg)
        out_channels = out_channels or 2 * in_channels[-1]
        self.pyramid_channels = [*in_channels, out_channels]
        self.memory = MemA2M(in_channels[-1], out_channels, **(mema2m or {}))

    def forward(self, pyramid: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps (B, Cᵢ, Hᵢ, Wᵢ) → the same maps and one of (B, out_channels, ceil(Hₙ / 2), ceil(Wₙ / 2))."""
        deepest = F.max_pool2d(pyramid[-1], kernel_size=2, ceil_mode=True)
        return (*pyramid, self.memory(deepest))
