"""The decoders of ALCNet and of its port without local contrast."""

from collections.abc import Sequence

from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from madnet.errors import UserError
from madnet.models.layers import BottomUpFusion, ConvBNReLU, local_contrast
from madnet.models.necks.acm_neck import ACMUNetNeck, at_least_two, doubling_conv, resize_to_finer


@MODELS.register_module()
class ALCNetNeck(BaseModule):
    """Decoder of ALCNet (Dai et al., TGRS 2021), as in the released network: the local contrast of every map
    of the encoder, brought to the finest map's channels, then fused from the deepest map upward by
    :class:`~madnet.models.layers.BottomUpFusion`.

    Args:
        in_channels: Channels of the pyramid's n >= 2 maps, each half as large as the one before, finest
            first.
        shifts: Distances of :func:`~madnet.models.layers.local_contrast`, in pixels of each map alike. On a
            map that is smaller than a shift, neighbours are the pixels that the shift leads to when it goes
            round; the published network takes no such images (below 69 pixels at the published shifts).
        align_corners: Enlarge with the corners of both maps aligned, as the published network does; by
            default by half-pixel centres, and what is beyond the finer map, where that has an odd side, is
            cut off at the right and the bottom.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        shifts: Sequence[int] = (13, 17),
        align_corners: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(init_cfg)
        widths = at_least_two(in_channels, type(self).__name__)
        if not shifts:
            raise UserError('ALCNetNeck: shifts is empty, expected at least one distance in pixels')
        channels = widths[0]
        self.pyramid_channels = [channels] * len(widths)
        self.shifts = tuple(shifts)
        self.align_corners = align_corners
        self.reduce = nn.ModuleList(
            ConvBNReLU(width, channels, kernel_size=1, bias=False) for width in widths[1:]
        )
        self.fusions = nn.ModuleList(BottomUpFusion(channels) for _ in widths[:-1])

    def forward(self, pyramid: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps (B, Cᵢ, Hᵢ, Wᵢ), Hᵢ₊₁ = ceil(Hᵢ / 2) → fused maps (B, C₀, Hᵢ, Wᵢ)."""
        contrasts = [local_contrast(x, self.shifts) for x in pyramid]
        lows = [contrasts[0], *(reduce(x) for reduce, x in zip(self.reduce, contrasts[1:], strict=True))]
        fused = [lows[-1]]
        for low, fusion in reversed(list(zip(lows[:-1], self.fusions, strict=True))):
            fused.insert(0, fusion(resize_to_finer(fused[0], low, False, self.align_corners), low))
        return tuple(fused)


@MODELS.register_module()
class ALCNetBasicNeck(ACMUNetNeck):
    """What the BasicIRSTD toolbox calls ALCNet, and with it most tables of the field: ACM's U-Net decoder
    without residual blocks and one more transposed convolution, to a map twice as fine. It has no local
    contrast in it; :class:`ALCNetNeck` has.

    The port also builds residual blocks that it never runs; they are left out here.

    Args:
        in_channels: Channels of the pyramid's n >= 2 maps, each half as large as the one before, finest
            first.
    """

    def __init__(self, in_channels: Sequence[int], init_cfg: dict | list[dict] | None = None):
        super().__init__(in_channels, blocks=0, init_cfg=init_cfg)
        finest = self.pyramid_channels[0]
        self.pyramid_channels = [finest // 2, *self.pyramid_channels]
        self.last = doubling_conv(finest, finest // 2)

    def forward(self, pyramid: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps (B, Cᵢ, Hᵢ, Wᵢ), Hᵢ₊₁ = ceil(Hᵢ / 2) → (B, C₀ / 2, 2·H₀, 2·W₀), then decoded maps of the
        given shapes."""
        decoded = super().forward(pyramid)
        return (self.last(decoded[0]), *decoded)
