"""The encoder of DNANet."""

import itertools
from collections.abc import Sequence

from mmseg.registry import MODELS

from madnet.errors import UserError
from madnet.models.backbones.pooling_encoder import PoolingEncoder
from madnet.models.layers import cbam_stage


@MODELS.register_module()
class DNANetEncoder(PoolingEncoder):
    """Stages of residual CBAM blocks with 2×2 max-pooling between them.

    The first column X(i, 0) of the grid of DNANet (Li et al., "Dense Nested Attention Network for Infrared
    Small Target Detection", TIP 2023, fig. 2); the other columns are in
    :class:`~madnet.models.heads.DNANetHead`. Any image of at least 32×32 pixels will do: where a side is odd,
    the last row or column is pooled alone, so that a map of stride s measures ceil(H / s) × ceil(W / s). On
    multiples of the strides this is the published encoder exactly.

    Args:
        in_channels: Channels of the image, 1 or 3.
        base_channels: Channels of the first map; each next one has twice as many.
        depths: Blocks of each stage, and so the number of maps. The published depths are (1, 2, 2, 2, 2),
            after ResNet-18; (1, 1, 1, 1, 1) and (1, 3, 4, 6, 3) after ResNet-10 and -34.

    Raises:
        UserError: A stage without blocks.
    """

    def __init__(
        self,
        in_channels: int = 3,
        base_channels: int = 16,
        depths: Sequence[int] = (1, 2, 2, 2, 2),
        init_cfg: dict | list[dict] | None = None,
    ):
        if not depths or min(depths) < 1:
            raise UserError(
                f'DNANetEncoder: depths={list(depths)}, expected at least one block in every stage'
            )
        widths = [base_channels * 2**i for i in range(len(depths))]
        steps = itertools.pairwise([in_channels, *widths])
        stages = (cbam_stage(a, b, depth) for (a, b), depth in zip(steps, depths, strict=True))
        super().__init__(in_channels, widths, stages, init_cfg)
