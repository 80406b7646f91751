"""The encoder of ISNet."""

from mmseg.registry import MODELS
from torch import Tensor

from madnet.models.backbones.thin_resnet import ThinResNet
from madnet.models.layers import gradient_magnitude


@MODELS.register_module()
class ISNetEncoder(ThinResNet):
    """Encoder of ISNet (Zhang et al., "ISNet: Shape matters for infrared small target detection", CVPR 2022):
    :class:`ThinResNet`, and the strength of the image's own gradient as a first map, at full resolution.

    Args:
        in_channels: Channels of the image: 1 as in the BasicIRSTD port, 3 as in the authors' network. Each
            has its own gradient.
        base_channels: D, channels of the first of the deep maps.
        blocks: Residual blocks of each layer; 4 as published.
        kwargs: Further arguments of :class:`ThinResNet`.
    """

    def __init__(self, in_channels: int = 1, base_channels: int = 16, blocks: int = 4, **kwargs):
        super().__init__(in_channels, base_channels, blocks, **kwargs)
        self.pyramid_channels = [in_channels, *self.pyramid_channels]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Image (B, in_channels, H, W) → gradient (B, in_channels, H, W) and maps
        (B, D·2ⁱ, ceil(H / (4·2ⁱ)), ceil(W / (4·2ⁱ))), i = 0, 1, …"""
        maps = super().forward(x)
        return gradient_magnitude(x), *maps
