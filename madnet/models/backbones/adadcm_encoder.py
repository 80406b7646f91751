"""The encoder of MAD-Net."""

import itertools

from mmseg.registry import MODELS

from madnet.models.backbones.pooling_encoder import PoolingEncoder
from madnet.models.layers import AdaDCM


@MODELS.register_module()
class AdaDCMEncoder(PoolingEncoder):
    """Pyramid of :class:`~madnet.models.layers.AdaDCM` blocks with 2×2 max-pooling between them.

    The first four stages of MAD-Net (IEEE document 10777476). Any image of at least 32×32 pixels will do:
    where a side is odd, the last row or column is pooled alone, so that a map of stride s measures ceil(H /
    s) × ceil(W / s). On multiples of the strides this is the published encoder exactly.

    Args:
        in_channels: Channels of the image, 1 or 3.
        base_channels: D, channels of the first map; each next one has twice as many.
        num_stages: Number of maps.
    """

    def __init__(
        self,
        in_channels: int = 3,
        base_channels: int = 16,
        num_stages: int = 4,
        init_cfg: dict | list[dict] | None = None,
    ):
        widths = [base_channels * 2**i for i in range(num_stages)]
        # the smallest map, on which that costs little, has the largest numbers
        stages = (AdaDCM(a, b, steady=b == widths[-1]) for a, b in itertools.pairwise([in_channels, *widths]))
        super().__init__(in_channels, widths, stages, init_cfg)
