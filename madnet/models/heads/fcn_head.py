"""The plain end of many networks: two convolutions on the finest map."""

from collections.abc import Sequence

import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn

from madnet.models.heads.pyramid_head import PyramidHead
from madnet.models.layers import enlarge


@MODELS.register_module()
class FCNSegHead(PyramidHead):
    """Conv3×3 → BN → ReLU → dropout → Conv1×1 on the finest map, with a quarter of its channels in between
    and no bias before the BatchNorm.

    The end of ACM, ALCNet, ISNet and MiM-ISTD. By itself it takes maps that a neck has decoded; heads that
    decode derive from it and end in :meth:`classify`.

    Args:
        classified_channels: Channels of the map to classify; the finest map's by default.
        channels: Channels between the two convolutions; a quarter of those by default.
        dropout_ratio: Probability in 0–1 that an element before the last convolution is dropped in training.
        stride: Pixels of the image along a side of one of the classified map, for a map whose size does not
            show it; logits are then enlarged by it and cut to the image.
        stretch: Resize logits straight to the size of the image, also where that is no multiple of theirs, as
            some published networks do; pixels then shift by a part of the stride.
        align_corners: Resize with the corners of both maps aligned, which implies ``stretch``.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        classified_channels: int | None = None,
        channels: int | None = None,
        dropout_ratio: float = 0.1,
        stride: int | None = None,
        stretch: bool = False,
        align_corners: bool = False,
        **kwargs,
    ):
        widths = list(in_channels)
        width = classified_channels or (widths[0] if widths else 0)
        channels = channels or max(1, width // 4)
        super().__init__(
            in_channels=widths,
            channels=channels,
            dropout_ratio=dropout_ratio,
            align_corners=align_corners,
            **kwargs,
        )
        # mmseg's drops whole channels, the published head elements.
        self.dropout = nn.Dropout(dropout_ratio)
        self.reduce = nn.Sequential(
            nn.Conv2d(width, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()
        )
        self.logit_stride = stride
        self.stretch = stretch or align_corners

    def classify(self, x: Tensor) -> Tensor:
        """Map (B, classified_channels, h, w) → logits (B, 1, h, w)."""
        return self.cls_seg(self.reduce(x))

    def forward(self, inputs: Sequence[Tensor]) -> Tensor | list[Tensor]:
        """Maps (B, Cᵢ, hᵢ, wᵢ), of which the first is classified → logits (B, 1, h₀, w₀)."""
        return self.classify(self._transform_inputs(inputs)[0])

    def to_image(self, logits: Tensor, size: Sequence[int]) -> Tensor:
        """Logits (B, 1, h, w) → (B, 1, H, W), bilinear; see ``stride``, ``stretch`` and ``align_corners``."""
        if self.stretch:
            return F.interpolate(logits, tuple(size), mode='bilinear', align_corners=self.align_corners)
        if self.logit_stride is not None:
            return enlarge(logits, self.logit_stride, size)
        return super().to_image(logits, size)
