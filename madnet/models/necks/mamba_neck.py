"""A deepest stage of Mamba blocks, as a neck for any backbone."""

from collections.abc import Sequence
from typing import Any

from mmseg.registry import MODELS
from torch import Tensor, nn

from madnet.errors import expect_number
from madnet.models.layers import ConvBNReLU, MambaBlock
from madnet.models.necks.deeper_neck import DeeperNeck


@MODELS.register_module()
class MambaNeck(DeeperNeck):
    """Adds one deeper map to a pyramid: 2×2 max-pooling, Conv-BN-ReLU, then
    :class:`~madnet.models.layers.MambaBlock` s.

    Stands where :class:`~madnet.models.necks.MemA2MNeck` stands, with MiM-ISTD's scan over the whole map in
    place of the memory. Of an odd side the last row or column is pooled alone.

    Args:
        in_channels: Channels of the pyramid's maps, finest first.
        out_channels: Channels of the added map; twice those of the last one by default.
        depth: Number of Mamba blocks.
        drop_path: Probability in 0–1 of the last block's drop path, growing linearly from 0.
        ss2d: Further arguments of :class:`~madnet.models.layers.SS2D`, e.g. ``dict(states=8)``.

    Raises:
        UserError: ``drop_path`` is not in 0–1.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int | None = None,
        depth: int = 2,
        drop_path: float = 0.0,
        ss2d: dict[str, Any] | None = None,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(in_channels, out_channels, init_cfg)
        expect_number(drop_path, 'MambaNeck.drop_path', least=0, below=1)
        deepest, added = self.pyramid_channels[-2:]
        self.stem = ConvBNReLU(deepest, added)
        self.blocks = nn.Sequential(
            *(MambaBlock(added, drop_path=drop_path * i / max(1, depth - 1), ss2d=ss2d) for i in range(depth))
        )

    def deepen(self, x: Tensor) -> Tensor:
        x = self.blocks(self.stem(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return x.contiguous()
