"""Bilinear resizing to the size of another map."""

import torch.nn.functional as F
from torch import Tensor


def resize_like(x: Tensor, other: Tensor, align_corners: bool = False) -> Tensor:
    """``x`` (B, C, h, w), bilinear, at the size (H, W) of ``other``, larger or smaller.

    By half-pixel centres, or with the corners of both maps aligned. (mmseg's ``resize`` warns of aligned
    corners on nearly every size.)
    """
    if x.shape[2:] == other.shape[2:]:
        return x
    return F.interpolate(x, other.shape[2:], mode='bilinear', align_corners=align_corners)
