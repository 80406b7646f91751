"""The blocks of RDIAN (Sun et al., TGRS 2023): contrast against opposite sides, receptive fields."""

import functools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from madnet.models.layers.conv_blocks import ConvBNReLU

#: Pixels between a pixel and those that it is compared with.
_DISTANCE = 2


def opposite_contrast(x: Tensor) -> Tensor:
    """Direction-induced attention of RDIAN (Sun et al., TGRS 2023)::

        σ( Σ over four axes (x(p) − x(p + δ)) · (x(p) − x(p − δ)) )

    with δ along the diagonals, the vertical and the horizontal, two pixels each. A blob differs
    from both of its neighbours on an axis in the same sense, an edge from one of them only. Outside of the
    map x is 0.

    Args:
        x: Image (B, C, H, W). The products of several channels are averaged.

    Returns:
        Map (B, 1, H, W) in 0–1, 0.5 where nothing stands out.
    """
    height, width = x.shape[-2:]
    d = _DISTANCE
    padded = F.pad(x, (d, d, d, d))

    def difference(row: int, column: int) -> Tensor:
        """x(p) − x(p + δ) for δ = (row, column)."""
        return x - padded[..., d + row : d + row + height, d + column : d + column + width]

    axes = ((-d, -d), (-d, 0), (-d, d), (0, d))
    products = sum(difference(row, column) * difference(-row, -column) for row, column in axes)
    return torch.sigmoid(products.mean(dim=1, keepdim=True))


#: convolution, BatchNorm and leaky ReLU, as everywhere in RDIAN
ConvBNLeakyReLU = functools.partial(ConvBNReLU, bias=False, activation=nn.LeakyReLU)


class ReceptiveFieldBlock(nn.Module):
    """x plus two convolutions of it through half the channels, each with BN and leaky ReLU (RDIAN).

    Shape:
        (B, channels, H, W) → (B, channels, H, W).
    """

    def __init__(self, channels: int, kernel_size: int):
        super().__init__()
        self.squeeze = ConvBNLeakyReLU(channels, channels // 2, kernel_size)
        self.expand = ConvBNLeakyReLU(channels // 2, channels, kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.expand(self.squeeze(x))
