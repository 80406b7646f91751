"""The two decoders of ACM."""

from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from madnet.errors import UserError
from madnet.models.layers import AsymmetricFusion, enlarge, residual_layer


def doubling_conv(in_channels: int, out_channels: int) -> nn.ConvTranspose2d:
    """Transposed convolution (B, in_channels, h, w) → (B, out_channels, 2h, 2w)."""
    return nn.ConvTranspose2d(in_channels, out_channels, kernel_size=4, stride=2, padding=1)


def resize_to_finer(high: Tensor, low: Tensor, stretch: bool, align_corners: bool) -> Tensor:
    """``high`` (B, C, ceil(H / 2), ceil(W / 2)), bilinear, at the size (H, W) of ``low``: stretched to it, or
    doubled and cut at the right and the bottom."""
    if stretch or align_corners:
        return F.interpolate(high, low.shape[2:], mode='bilinear', align_corners=align_corners)
    return enlarge(high, 2, low.shape[2:])


@MODELS.register_module()
class ACMUNetNeck(BaseModule):
    """U-Net decoder of ACM (Dai et al., WACV 2021, Fig. 4): from the deepest map upward, a transposed
    convolution to twice the size, :class:`~madnet.models.layers.AsymmetricFusion` with the encoder's map,
    residual blocks.

    What the transposed convolution has beyond the encoder's map, where that has an odd side, is cut off at
    the right and the bottom.

    Args:
        in_channels: Channels of the pyramid's n >= 2 maps, each half as large as the one before, finest
            first.
        blocks: Residual blocks after each fusion.
        reduce_high: A Conv1×1 → BN → ReLU before the fusion, on the map from below, as in acm-pytorch
            and unlike the authors' U-Net.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        blocks: int = 3,
        reduce_high: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(init_cfg)
        widths = at_least_two(in_channels, type(self).__name__)
        self.pyramid_channels = widths
        self.ups = nn.ModuleList(doubling_conv(widths[i + 1], widths[i]) for i in range(len(widths) - 1))
        self.fusions = nn.ModuleList(
            AsymmetricFusion(width, high_channels=width if reduce_high else None) for width in widths[:-1]
        )
        self.layers = nn.ModuleList(
            residual_layer(width, width, blocks) if blocks else nn.Identity() for width in widths[:-1]
        )

    def forward(self, pyramid: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps (B, Cᵢ, Hᵢ, Wᵢ), Hᵢ₊₁ = ceil(Hᵢ / 2) → decoded maps of the same shapes, the last unchanged."""
        decoded = [pyramid[-1]]
        steps = list(zip(pyramid[:-1], self.ups, self.fusions, self.layers, strict=True))
        for low, up, fusion, layer in reversed(steps):
            high = up(decoded[0])[..., : low.shape[2], : low.shape[3]]
            decoded.insert(0, layer(fusion(high, low)))
        return tuple(decoded)


@MODELS.register_module()
class ACMFPNNeck(BaseModule):
    """FPN decoder of ACM (Dai et al., WACV 2021, Fig. 4): from the deepest map upward, bilinear enlargement,
    then :class:`~madnet.models.layers.AsymmetricFusion` with the encoder's map, which first takes the deeper
    map to its channels.

    Args:
        in_channels: Channels of the pyramid's n >= 2 maps, each half as large as the one before, finest
            first.
        stretch: Resize straight to the encoder's map, as acm-pytorch does; where that has an odd side, pixels
            shift. By default maps are doubled, and what is beyond the encoder's map is cut off at the right
            and the bottom.
        align_corners: Resize with the corners of both maps aligned, as the authors' network does, which
            implies ``stretch``.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        stretch: bool = False,
        align_corners: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(init_cfg)
        widths = at_least_two(in_channels, type(self).__name__)
        self.pyramid_channels = widths
        self.stretch = stretch
        self.align_corners = align_corners
        self.fusions = nn.ModuleList(
            AsymmetricFusion(widths[i], high_channels=widths[i + 1]) for i in range(len(widths) - 1)
        )

    def forward(self, pyramid: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps (B, Cᵢ, Hᵢ, Wᵢ), Hᵢ₊₁ = ceil(Hᵢ / 2) → decoded maps of the same shapes, the last unchanged."""
        decoded = [pyramid[-1]]
        for low, fusion in reversed(list(zip(pyramid[:-1], self.fusions, strict=True))):
            decoded.insert(0, fusion(resize_to_finer(decoded[0], low, self.stretch, self.align_corners), low))
        return tuple(decoded)


def at_least_two(in_channels: Sequence[int], name: str) -> list[int]:
    widths = list(in_channels)
    if len(widths) < 2:
        raise UserError(f'{name}: in_channels={widths} names {len(widths)} map(s), expected at least 2')
    return widths
