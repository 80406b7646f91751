"""What necks that add a deeper map share."""

from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor

from madnet.models.layers import halve


class DeeperNeck(BaseModule):
    """Adds one deeper map to a pyramid: 2×2 max-pooling of the last one, then :meth:`deepen`.

    It only needs the pyramid's last map and its channels, so it fits behind any backbone. Of an odd side the
    last row or column is pooled alone.

    Args:
        in_channels: Channels of the pyramid's maps, finest first.
        out_channels: Channels of the added map; twice those of the last one by default.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int | None = None,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(init_cfg)
        self.pyramid_channels = [*in_channels, out_channels or 2 * in_channels[-1]]

    def deepen(self, x: Tensor) -> Tensor:
        """The pooled last map (B, Cₙ, h, w) → the added one (B, out_channels, h, w)."""
        raise NotImplementedError

    def forward(self, pyramid: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps (B, Cᵢ, Hᵢ, Wᵢ) → the same maps and one of (B, out_channels, ceil(Hₙ / 2), ceil(Wₙ / 2))."""
        return (*pyramid, self.deepen(halve(pyramid[-1])))
