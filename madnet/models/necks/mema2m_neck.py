"""The bottleneck of MAD-Net, as a neck for any backbone."""

from collections.abc import Sequence

from mmseg.registry import MODELS
from torch import Tensor

from madnet.models.layers import MemA2M
from madnet.models.necks.deeper_neck import DeeperNeck


@MODELS.register_module()
class MemA2MNeck(DeeperNeck):
    """Adds one deeper map to a pyramid: 2×2 max-pooling, then :class:`~madnet.models.layers.MemA2M`.

    The fifth stage of MAD-Net (IEEE document 10777476); it only needs the pyramid's last map and its
    channels, so it fits behind any backbone. Of an odd side the last row or column is pooled alone.

    Args:
        in_channels: Channels of the pyramid's maps, finest first.
        out_channels: Channels of the added map; twice those of the last one by default.
        mema2m: Further arguments of ``MemA2M``. ``slots``, the columns of its bank, hold for a MADNetHead
            behind it as well, unless that has its own.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int | None = None,
        mema2m: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(in_channels, out_channels, init_cfg)
        #: Arguments that a head behind this neck takes over where it has none of its own.
        self.settings_for_head = {'mema2m': {k: v for k, v in (mema2m or {}).items() if k == 'slots'}}
        self.memory = MemA2M(*self.pyramid_channels[-2:], **(mema2m or {}))

    def deepen(self, x: Tensor) -> Tensor:
        return self.memory(x)
