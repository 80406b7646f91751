"""The decoder of MSHNet with its multi-scale heads and their warm-up."""

from collections.abc import Sequence

import torch
from mmseg.registry import MODELS
from torch import Tensor, nn

from madnet.errors import UserError, expect_whole
from madnet.models.heads.level_depths import level_depths
from madnet.models.heads.pyramid_head import PyramidHead
from madnet.models.layers import cbam_stage, halve, resize_like


@MODELS.register_module()
class MSHNetHead(PyramidHead):
    """Decoder of MSHNet (Liu et al., CVPR 2024) over a pyramid of n >= 2 maps, finest first.

    From the deepest map upward, enlarging, concatenation behind the encoder's map and a stage of residual
    CBAM blocks; every level has a logit map m0 (finest), m1, …, m(n − 2) of its own at its own size, and a
    3×3 convolution makes the prediction ``out`` of all of them, enlarged to the finest. All enlarging is
    bilinear with aligned corners to the size of the finer map, so that maps of any size will do. As in the
    published code; the paper's figure has a sigmoid before the prediction and 3×3 heads.

    In training ``forward`` returns ``[m0, …, m(n − 2), out]``, in evaluation ``out`` alone. A map mₖ is
    trained towards the mask pooled by maxima to its size, so that no target vanishes; the published loss is
    the mean over the maps, ``loss_weights`` of 1 / n each.

    In the warm-up, the run's first epochs, m0 stands for the whole: ``forward`` returns ``[m0]``, its loss
    counts in full, the coarser maps and the prediction get no gradient, and validation in these epochs is of
    m0. A model that is only tested predicts ``out``.

    Args:
        depths: Blocks of each level except the deepest; by default 1 on the finest and 2 on the others,
            as published.
        warm_epoch: Last epoch of the warm-up, counted from 0; −1 for none. It holds for an ``SLSLoss``
            of the head as well.
        kwargs: Further arguments of :class:`~madnet.models.heads.PyramidHead`, such as ``loss_decode`` and
            ``loss_weights``.

    Raises:
        UserError: ``depths`` is not one value, at least 1, for each level except the deepest; or
            ``loss_decode`` gives a ``warm_epoch`` other than the head's.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        depths: Sequence[int] | None = None,
        warm_epoch: int = 5,
        **kwargs,
    ):
        widths = list(in_channels)
        deepest = len(widths) - 1
        super().__init__(
            in_channels=widths,
            channels=max(deepest, 1),
            side_names=[f'm{i}' for i in range(deepest)],
            **kwargs,
        )
        depths = level_depths(depths, widths, type(self).__name__)
        self.warm_epoch = expect_whole(warm_epoch, 'MSHNetHead.warm_epoch', least=-1)
        self.warming_up = False
        self._share_warm_epoch(kwargs.get('loss_decode') or {})
        self.decoders = nn.ModuleList(
            cbam_stage(widths[i] + widths[i + 1], widths[i], depths[i]) for i in range(deepest)
        )
        self.sides = nn.ModuleList(
            nn.Conv2d(width, self.out_channels, kernel_size=1) for width in widths[:-1]
        )
        self.conv_seg = nn.Conv2d(deepest * self.out_channels, self.out_channels, kernel_size=3, padding=1)

    def _share_warm_epoch(self, loss_decode: dict | Sequence[dict]) -> None:
        for cfg in [loss_decode] if isinstance(loss_decode, dict) else loss_decode:
            if cfg.get('warm_epoch', self.warm_epoch) != self.warm_epoch:
                raise UserError(
                    f'MSHNetHead: loss_decode.warm_epoch={cfg["warm_epoch"]}, but the head warms up to epoch '
                    f'{self.warm_epoch}; set decode_head.warm_epoch alone, it holds for both.'
                )
        for loss in self.loss_decode if isinstance(self.loss_decode, nn.ModuleList) else [self.loss_decode]:
            if hasattr(loss, 'warm_epoch'):
                loss.warm_epoch = self.warm_epoch

    def set_epoch(self, epoch: int, max_epochs: int) -> None:
        """Say which epoch begins, counted from 0 (:class:`madnet.engine.hooks.EpochHook` does); it stays in
        force in the validation behind it."""
        self.warming_up = epoch <= self.warm_epoch

    def forward(self, inputs: Sequence[Tensor]) -> Tensor | list[Tensor]:
        """Maps (B, Cᵢ, Hᵢ, Wᵢ) → logits (B, 1, H₀, W₀) or, in training, several."""
        skips = self._transform_inputs(inputs)
        decoded = [skips[-1]]
        for skip, decoder in zip(reversed(skips[:-1]), reversed(self.decoders), strict=True):
            raised = resize_like(decoded[0], skip, align_corners=True)
            decoded.insert(0, decoder(torch.cat([skip, raised], dim=1)))
        if self.warming_up:
            finest = self.sides[0](decoded[0])
            return [finest] if self.training else finest
        sides = [side(x) for side, x in zip(self.sides, decoded[:-1], strict=True)]
        raised = [resize_like(side, sides[0], align_corners=True) for side in sides]
        out = self.cls_seg(torch.cat(raised, dim=1))
        return [*sides, out] if self.gives_sides else out

    def named_weights(self, number: int) -> tuple[list[str], list[float]]:
        """As in ``PyramidHead``; one map alone is m0, in full, while the head warms up."""
        return (['m0'], [1.0]) if self.warming_up else super().named_weights(number)

    def align(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Brings the target (B, H, W) to the size of the logits (B, 1, h, w) by maxima of 2×2 pixels.

        A pooled pixel with a target in it is target, and otherwise counts only if all of its pixels do. In a
        soft target, 0–1, a half and more is a target.
        """
        ignored = target == self.ignore_index
        pooled = target.masked_fill(ignored, 0).float()[:, None]
        ignored = ignored.float()[:, None]
        while pooled.shape[2:] != logits.shape[2:] and min(pooled.shape[2:]) > 1:
            pooled, ignored = (halve(x) for x in (pooled, ignored))
        if pooled.shape[2:] != logits.shape[2:]:
            return super().align(logits, target)
        pooled = pooled.masked_fill((pooled < 0.5) & (ignored > 0), self.ignore_index)
        return logits, pooled[:, 0].to(target.dtype)
