"""The blocks of RepISD-Net (Wu et al., TGRS 2023): central differences, re-parameterised."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from madnet.models.layers.conv_blocks import ConvBNReLU
from madnet.models.layers.foldable import Foldable


class CentralDifferenceConv(nn.Conv2d):
    """3×3 convolution of the differences to the centre, Σ wₙ (xₙ − x₀) over all nine taps, without bias.

    Central difference convolution (Yu et al., CVPR 2020, eq. 3) with θ = 1. It is one convolution whose
    kernel is w, at the centre less the sum of w, so that its taps add up to zero; at the border too, where
    the centre is never padding. A kernel that has no sum to take off stays as it is.

    Shape:
        (B, in_channels, H, W) → (B, out_channels, H, W); zero padding 1.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, kernel_size=3, padding=1, bias=False)

    def kernel(self) -> Tensor:
        """The plain kernel (out_channels, in_channels, 3, 3) that this amounts to, differentiable."""
        return self.weight - _at_centre(self.weight.sum(dim=(2, 3), keepdim=True))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.kernel(), padding=1)


class ECB(Foldable):
    """The re-parameterised block of RepISD-Net (Wu et al., TGRS 2023): ReLU of the sum of BN Conv3×3, BN of a
    :class:`CentralDifferenceConv`, BN Conv1×1 and, where the channels stay, BN of the input itself.

    As in the published code; the paper's figure lacks the 1×1 branch. In the deployed form one convolution
    with bias → ReLU, equal to the training form in evaluation mode.

    Args:
        published_fold: Leave the bias of the 1×1 convolution out of the fold, as the published converter
            does. Published deployed weights come from that fold, and differ from the network they were folded
            from unless that bias is zero.

    Shape:
        (B, in_channels, H, W) → (B, out_channels, H, W).
    """

    def __init__(self, in_channels: int, out_channels: int, published_fold: bool = False):
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.published_fold = published_fold
        self.plain = ConvBNReLU(in_channels, out_channels, bias=False, activation=nn.Identity)
        self.central = CentralDifferenceConv(in_channels, out_channels)
        self.central_bn = nn.BatchNorm2d(out_channels)
        self.point = ConvBNReLU(in_channels, out_channels, kernel_size=1, activation=nn.Identity)
        self.identity_bn = nn.BatchNorm2d(in_channels) if in_channels == out_channels else None

    def forward(self, x: Tensor) -> Tensor:
        if self.deployed:
            return self.fused(x).relu()
        y = self.plain(x) + self.central_bn(self.central(x)) + self.point(x)
        return (y if self.identity_bn is None else y + self.identity_bn(x)).relu()

    def fused_kernel(self) -> tuple[Tensor, Tensor]:
        """Kernel (out_channels, in_channels, 3, 3) and bias (out_channels,) of the deployed form."""
        weights = [
            (self.plain.conv.weight, self.plain.bn),
            (self.central.kernel(), self.central_bn),
            (_at_centre(self.point.conv.weight), self.point.bn),
        ]
        if self.identity_bn is not None:
            eye = torch.eye(self.in_channels).to(self.central.weight)
            weights.append((_at_centre(eye[..., None, None]), self.identity_bn))
        kernel = sum(weight * _scale(bn)[:, None, None, None] for weight, bn in weights)
        bias = sum(bn.bias - bn.running_mean * _scale(bn) for _, bn in weights)
        if not self.published_fold:
            bias = bias + self.point.conv.bias * _scale(self.point.bn)
        return kernel, bias


def _at_centre(points: Tensor) -> Tensor:
    """1×1 kernels (…, 1, 1) as 3×3 kernels."""
    return F.pad(points, (1, 1, 1, 1))


def _scale(bn: nn.BatchNorm2d) -> Tensor:
    """The factor (C,) of each channel that a normalisation in evaluation mode amounts to."""
    return bn.weight / (bn.running_var + bn.eps).sqrt()
