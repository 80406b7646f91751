"""The encoder of UIU-Net."""

from mmseg.registry import MODELS

from madnet.models.backbones.pooling_encoder import PoolingEncoder
from madnet.models.layers import rsu_at


@MODELS.register_module()
class UIUNetEncoder(PoolingEncoder):
    """Residual U-blocks with 2×2 max-pooling between them: the encoder of UIU-Net (Wu, Hong, Chanussot, TIP
    2023), which is U²-Net's.

    Any image of at least 32×32 pixels will do: where a side is odd, the last row or column is pooled alone,
    so that a map of stride s measures ceil(H / s) × ceil(W / s).

    Args:
        in_channels: Channels of the image, 1 or 3.
        base_channels: D, channels of the first map, even; each next one has twice as many, up to 8·D.
        num_stages: Number of maps.
    """

    def __init__(
        self,
        in_channels: int = 3,
        base_channels: int = 64,
        num_stages: int = 6,
        init_cfg: dict | list[dict] | None = None,
    ):
        widths = [base_channels * 2 ** min(i, 3) for i in range(num_stages)]
        before = [in_channels, *widths]
        stages = (rsu_at(i, before[i], before[max(i, 1)] // 2, width) for i, width in enumerate(widths))
        super().__init__(in_channels, widths, stages, init_cfg)
