"""The decoder of MAD-Net with its deep supervision."""

from collections.abc import Sequence

import torch
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from mmseg.utils import SampleList
from torch import Tensor, nn

from madnet.errors import UserError
from madnet.models.layers import DoubleConv, MemA2M, UpConv, enlarge


@MODELS.register_module()
class MADNetHead(BaseDecodeHead):
    """Decoder of MAD-Net (IEEE document 10777476) over a pyramid of n >= 2 maps, each half as large as the
    one before.

    From the deepest map upward, bilinear ×2, convolution, concatenation behind the encoder's map, then
    MemA²M on the first step and two convolutions on the others. With deep supervision every level has a logit
    map of its own, s1 (finest) to sn (the deepest input); the prediction ``out`` comes from the finest level
    by a 1×1 convolution.

    In training with deep supervision ``forward`` returns ``[s1, …, sn, out]``, otherwise ``out`` alone, at
    the size of the finest map; ``predict`` and ``loss`` bring logits to the size of image and mask.

    Args:
        in_channels: Channels of the pyramid's maps, finest first.
        deep_supervision: Whether the maps s1 … sn exist and are supervised.
        soft_targets: Train towards the mask's grey values / 255 (``gt_mask``), as published, instead of 0/1
            (``gt_sem_seg``).
        loss_weights: Weights of the losses of s1, …, sn, out; all 1 by default, as published.
        loss_decode: One loss or several, each applied to every map; ``SoftIoULoss`` by default, as published.
        mema2m: Further arguments of ``MemA2M``, e.g. ``dict(slots=64)``.
        in_index: Which of the incoming maps to use; all, in order, by default.
        kwargs: Further arguments of mmseg's ``BaseDecodeHead``.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        deep_supervision: bool = True,
        soft_targets: bool = False,
        loss_weights: Sequence[float] | None = None,
        loss_decode: dict | Sequence[dict] | None = None,
        mema2m: dict | None = None,
        in_index: Sequence[int] | None = None,
        num_classes: int = 2,
        out_channels: int = 1,
        threshold: float = 0.5,
        init_cfg: dict | list[dict] | None = None,
        **kwargs,
    ):
        widths = list(in_channels)
        levels = len(widths)
        if levels < 2:
            raise UserError(f'MADNetHead: in_channels={widths} names {levels} map(s), expected at least 2')
        super().__init__(
            in_channels=widths,
            in_index=list(range(levels) if in_index is None else in_index),
            input_transform='multiple_select',
            channels=widths[0],
            num_classes=num_classes,
            out_channels=out_channels,
            threshold=threshold,
            dropout_ratio=0,
            loss_decode=loss_decode or {'type': 'SoftIoULoss'},
            init_cfg=init_cfg,
            **kwargs,
        )
        self.deep_supervision = deep_supervision
        self.soft_targets = soft_targets
        self.map_names = [f's{i + 1}' for i in range(levels)] if deep_supervision else []
        self.map_names.append('out')
        if loss_weights is not None and len(loss_weights) != len(self.map_names):
            raise UserError(
                f'MADNetHead: loss_weights has {len(loss_weights)} value(s), expected {len(self.map_names)}, '
                f'one for each of {", ".join(self.map_names)}'
            )
        self.loss_weights = list(loss_weights or [1.0] * len(self.map_names))

        self.ups = nn.ModuleList(UpConv(widths[i + 1], widths[i]) for i in range(levels - 1))
        self.decoders = nn.ModuleList(DoubleConv(2 * widths[i], widths[i]) for i in range(levels - 2))
        self.decoders.append(MemA2M(2 * widths[-2], widths[-2], **(mema2m or {})))
        if deep_supervision:
            self.sides = nn.ModuleList(
                nn.Conv2d(width, self.out_channels, kernel_size=3, padding=1) for width in widths
            )

    def forward(self, inputs: Sequence[Tensor]) -> Tensor | list[Tensor]:
        """Maps (B, Cᵢ, ceil(H / 2ⁱ), ceil(W / 2ⁱ)) → logits (B, 1, H, W) or a list of them; see the class."""
        skips = self._transform_inputs(inputs)
        decoded = [skips[-1]]
        for skip, up, decoder in zip(
            reversed(skips[:-1]), reversed(self.ups), reversed(self.decoders), strict=True
        ):
            _check_halved(skip, decoded[0])
            raised = up(decoded[0], size=skip.shape[2:])
            decoded.insert(0, decoder(torch.cat([skip, raised], dim=1)))
        out = self.cls_seg(decoded[0])
        if not (self.training and self.deep_supervision):
            return out
        sides = (side(features) for side, features in zip(self.sides, decoded, strict=True))
        return [*(enlarge(logits, 2**i, out.shape[2:]) for i, logits in enumerate(sides)), out]

    def predict_by_feat(self, seg_logits: Tensor | list[Tensor], batch_img_metas: list[dict]) -> Tensor:
        """Brings the prediction's logits, the last map, to the size of the image: (B, 1, H, W)."""
        prediction = seg_logits[-1] if isinstance(seg_logits, list) else seg_logits
        return super().predict_by_feat(prediction, batch_img_metas)

    def loss_by_feat(
        self, seg_logits: Tensor | list[Tensor], batch_data_samples: SampleList
    ) -> dict[str, Tensor]:
        """Losses of every map, named ``loss_s1`` … ``loss_out``; with several losses ``<loss_name>_s1`` and
        so on.

        Pixels that ``gt_sem_seg`` marks with ``ignore_index`` count in none of them.
        """
        maps = seg_logits if isinstance(seg_logits, list) else [seg_logits]
        # A head with deep supervision that is in eval mode has its prediction only.
        names, weights = self.map_names[-len(maps) :], self.loss_weights[-len(maps) :]
        target = self._target(batch_data_samples)
        modules = self.loss_decode if isinstance(self.loss_decode, nn.ModuleList) else [self.loss_decode]
        losses: dict[str, Tensor] = {}
        for name, weight, logits in zip(names, weights, maps, strict=True):
            if logits.shape[2:] != target.shape[1:]:
                logits = resize(
                    logits, size=target.shape[1:], mode='bilinear', align_corners=self.align_corners
                )
            for module in modules:
                key = f'{module.loss_name if len(modules) > 1 else "loss"}_{name}'
                value = weight * module(logits, target, ignore_index=self.ignore_index)
                losses[key] = losses[key] + value if key in losses else value
        return losses

    def _target(self, samples: SampleList) -> Tensor:
        """(B, H, W), 0/1 integers or grey values in 0–1; ``ignore_index`` where nothing counts."""
        labels = self._stack_batch_gt(samples).squeeze(1)
        if not self.soft_targets:
            return labels
        without = next((sample for sample in samples if 'gt_mask' not in sample), None)
        if without is not None:
            raise UserError(
                f'MADNetHead has soft_targets=True but {without.get("img_path", "a sample")} has no gt_mask '
                "(the mask's grey values): keep it in the pipeline's packing step, or set soft_targets=False"
            )
        grey = torch.stack([sample.gt_mask.data for sample in samples]).squeeze(1).float() / 255
        return grey.masked_fill(labels == self.ignore_index, self.ignore_index)


def _check_halved(fine: Tensor, coarse: Tensor) -> None:
    (height, width), found = fine.shape[2:], tuple(coarse.shape[2:])
    expected = (-(-height // 2), -(-width // 2))
    if found != expected:
        raise UserError(
            f'MADNetHead: a map of {height}×{width} is followed by one of {found[0]}×{found[1]}, expected '
            f'{expected[0]}×{expected[1]}: each must be half as large as the one before; choose such maps '
            "with in_index, or the backbone's strides and dilations accordingly"
        )
