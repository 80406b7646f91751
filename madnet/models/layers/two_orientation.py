"""Two-orientation attention aggregation."""

from torch import Tensor, nn

from .deform_conv import DeformConv2d


class TwoOrientationAttention(nn.Module):
    """Two-orientation attention aggregation of ISNet (Zhang et al., CVPR 2022): a deep map gates an encoder's
    map along rows and along columns::

        l = P(deep);  h = P(skip);  y = 2 l + h ⊙ (σ(D_column(l)) + σ(D_row(l)))

    with P two 1×1 convolutions with nothing in between, the same for both maps, and D deformable
    convolutions of 3×1 and 1×3 pixels.

    Args:
        channels: C of both maps, even.
        modulated: Deformable convolutions of version 2 instead of 1; see
            :class:`~madnet.models.layers.DeformConv2d`.
    """

    def __init__(self, channels: int, modulated: bool = False):
        super().__init__()
        self.project = nn.Sequential(
            nn.Conv2d(channels, channels // 2, kernel_size=1),
            nn.Conv2d(channels // 2, channels, kernel_size=1),
        )
        self.row = DeformConv2d(channels, channels, (1, 3), modulated)
        self.column = DeformConv2d(channels, channels, (3, 1), modulated)

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        """Maps (B, C, H, W), the deep one enlarged to the other's size → (B, C, H, W)."""
        deep, skip = self.project(deep), self.project(skip)
        return 2 * deep + skip * (self.column(deep).sigmoid() + self.row(deep).sigmoid())
