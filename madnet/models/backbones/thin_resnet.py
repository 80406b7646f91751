"""The narrow residual network under ACM, ALCNet and their kin."""

from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from madnet.errors import UserError
from madnet.models.input_check import check_image
from madnet.models.layers import ConvBNReLU, residual_layer


class Stem4(nn.Sequential):
    """BN of the image, three Conv3×3 → BN → ReLU without bias, the first at stride 2, then a 3×3 max-pool at
    stride 2: what ACM (Dai et al., WACV 2021) begins with, and ALCNet and ISNet after it.

    Args:
        in_channels: Channels of the image.
        out_channels: Channels of the map, even; the first two convolutions have half as many.
        affine: Whether the image's normalisation has learnt factors and offsets.

    Shape:
        (B, in_channels, H, W) → (B, out_channels, ceil(H / 4), ceil(W / 4)).
    """

    def __init__(self, in_channels: int, out_channels: int = 16, affine: bool = True):
        half = out_channels // 2
        super().__init__(
            nn.BatchNorm2d(in_channels, affine=affine),
            ConvBNReLU(in_channels, half, bias=False, stride=2),
            ConvBNReLU(half, half, bias=False),
            ConvBNReLU(half, out_channels, bias=False),
            nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
        )


class Stem1(nn.Sequential):
    """BN of the image, then Conv3×3 → BN → ReLU without bias, at full resolution: the stem of the released
    ALCNet (Dai et al., TGRS 2021) and of the released, "tiny" ACM.

    Args:
        in_channels: Channels of the image.
        out_channels: Channels of the map.
        affine: Whether the image's normalisation has learnt factors and offsets.

    Shape:
        (B, in_channels, H, W) → (B, out_channels, H, W).
    """

    def __init__(self, in_channels: int, out_channels: int = 16, affine: bool = True):
        super().__init__(
            nn.BatchNorm2d(in_channels, affine=affine), ConvBNReLU(in_channels, out_channels, bias=False)
        )


@MODELS.register_module()
class ThinResNet(BaseModule):
    """ResNet-20 with a stem for images: the encoder of ACM (Dai et al., WACV 2021) and ALCNet (Dai et al.,
    TGRS 2021).

    Layers of residual blocks (He et al., CVPR 2016, Sec. 4.2), each after the first at half the size and
    twice the width. Any image of at least 32×32 pixels will do: a map of stride s measures ceil(H / s) ×
    ceil(W / s).

    Args:
        in_channels: Channels of the image, 1 or 3.
        base_channels: D, channels of the first map, even; each next one has twice as many.
        blocks: Residual blocks of each layer; with 3 and three layers it is ResNet-20.
        num_stages: Number of maps.
        stem_stride: Stride t of the first map: 4 as in the ports of ACM and ALCNet to PyTorch, or 1 as in the
            networks that their authors released.
        input_affine: Whether the normalisation of the image, the first operation, has learnt factors and
            offsets; the authors' networks have none.

    Raises:
        UserError: Another ``stem_stride``.
    """

    def __init__(
        self,
        in_channels: int = 3,
        base_channels: int = 16,
        blocks: int = 3,
        num_stages: int = 3,
        stem_stride: int = 4,
        input_affine: bool = True,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(init_cfg)
        stems: dict[int, type[Stem1 | Stem4]] = {1: Stem1, 4: Stem4}
        if stem_stride not in stems:
            raise UserError(f'ThinResNet: stem_stride={stem_stride}, expected 1 or 4')
        self.in_channels = in_channels
        self.pyramid_channels = [base_channels * 2**i for i in range(num_stages)]
        self.stem = stems[stem_stride](in_channels, base_channels, affine=input_affine)
        widths = [base_channels, *self.pyramid_channels]
        self.stages = nn.ModuleList(
            residual_layer(widths[i], widths[i + 1], blocks, stride=2 if i else 1) for i in range(num_stages)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Image (B, in_channels, H, W) → maps (B, D·2ⁱ, ceil(H / (t·2ⁱ)), ceil(W / (t·2ⁱ))), i = 0, 1, …"""
        check_image(x, self.in_channels, type(self).__name__)
        x = self.stem(x)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return tuple(maps)
