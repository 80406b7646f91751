"""The encoder of MSHNet."""

from collections.abc import Sequence

from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from madnet.models.backbones.dnanet_encoder import DNANetEncoder
from madnet.models.input_check import check_image


@MODELS.register_module()
class MSHNetEncoder(BaseModule):
    """A 1×1 convolution, then stages of residual CBAM blocks with 2×2 max-pooling between them.

    The encoder of MSHNet (Liu et al., "Infrared Small Target Detection with Scale and Location Sensitivity",
    CVPR 2024), as in the published code: the paper's figure draws a plain U-Net. Its stages are DNANet's, and
    any image of at least 32×32 pixels will do, as there.

    Args:
        in_channels: Channels of the image, 1 or 3.
        base_channels: C, channels of the first map; each next one has twice as many.
        depths: Blocks of each stage, and so the number of maps.

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
        super().__init__(init_cfg)
        self.in_channels = in_channels
        self.conv_in = nn.Conv2d(in_channels, base_channels, kernel_size=1)
        self.pyramid = DNANetEncoder(base_channels, base_channels, depths)
        self.pyramid_channels = self.pyramid.pyramid_channels

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Image (B, in_channels, H, W) → maps (B, C·2ⁱ, ceil(H / 2ⁱ), ceil(W / 2ⁱ)), i = 0, 1, …"""
        check_image(x, self.in_channels, type(self).__name__)
        return self.pyramid(self.conv_in(x))
