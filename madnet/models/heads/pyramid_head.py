"""What heads over a pyramid share: their inputs, and losses on one logit map or several."""

from collections.abc import Callable, Sequence

import torch
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.utils import resize
from mmseg.utils import SampleList
from torch import Tensor, nn

from madnet.errors import UserError, expect_number
from madnet.models.layers import enlarge
from madnet.models.losses.losses import MaskLoss
from madnet.models.losses.probe import check_losses


class PyramidHead(BaseDecodeHead):
    """A head over n >= 2 maps, each half as large as the one before, with a loss on every map it gives.

    In training ``forward`` of a head with side maps returns a list of logit maps, otherwise the prediction
    alone, ``out``, which is the list's last.

    Args:
        in_channels: Channels of the pyramid's maps, finest first.
        side_names: Names of the logit maps before the prediction in ``forward``'s list; none where no others
            are supervised.
        channels: Channels before the prediction; those of the finest map by default.
        soft_targets: Train towards the mask's grey values / 255 (``gt_mask``) instead of 0/1
            (``gt_sem_seg``).
        loss_weights: Weights of the losses of the maps, from 0 on, the prediction's above 0; all 1 by
            default.
        loss_decode: One loss or several, each applied to every map; ``SoftIoULoss`` by default.
        in_index: Which of the incoming maps to use; all, in order, by default.
        dropout_ratio: Probability in 0–1 of mmseg's dropout before the prediction; none by default.
        kwargs: Further arguments of mmseg's ``BaseDecodeHead``.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        side_names: Sequence[str] = (),
        channels: int | None = None,
        soft_targets: bool = False,
        loss_weights: Sequence[float] | None = None,
        loss_decode: dict | Sequence[dict] | None = None,
        in_index: Sequence[int] | None = None,
        num_classes: int = 2,
        out_channels: int = 1,
        threshold: float = 0.5,
        dropout_ratio: float = 0,
        init_cfg: dict | list[dict] | None = None,
        **kwargs,
    ):
        widths, name = list(in_channels), type(self).__name__
        if len(widths) < 2:
            raise UserError(f'{name}: in_channels={widths} names {len(widths)} map(s), expected at least 2')
        expect_number(dropout_ratio, f'{name}.dropout_ratio', least=0, most=1)
        super().__init__(
            in_channels=widths,
            in_index=list(range(len(widths)) if in_index is None else in_index),
            input_transform='multiple_select',
            channels=widths[0] if channels is None else channels,
            num_classes=num_classes,
            out_channels=out_channels,
            threshold=threshold,
            dropout_ratio=dropout_ratio,
            loss_decode=loss_decode or {'type': 'SoftIoULoss'},
            init_cfg=init_cfg,
            **kwargs,
        )
        self.soft_targets = soft_targets
        self.map_names = [*side_names, 'out']
        if loss_weights is not None and len(loss_weights) != len(self.map_names):
            raise UserError(
                f'{name}: loss_weights has {len(loss_weights)} value(s), expected {len(self.map_names)}, '
                f'one for each of {", ".join(self.map_names)}'
            )
        for weight in loss_weights or ():
            expect_number(weight, f'{name}.loss_weights', least=0)
        self.loss_weights = list(loss_weights or [1.0] * len(self.map_names))
        expect_number(self.loss_weights[-1], f'{name}.loss_weights, of the prediction', above=0)
        #: Highest logit () of each map in the batch that last met the losses, by the map's name.
        self.highest_logits: dict[str, Tensor] = {}

    @property
    def gives_sides(self) -> bool:
        """Whether ``forward`` is to return the side maps too."""
        return self.training and len(self.map_names) > 1

    def init_weights(self) -> None:
        """mmengine's, with which a training begins; refuses losses that would train on the inverse."""
        super().init_weights()
        check_losses(self)

    def decode(self, skips: Sequence[Tensor], join: Callable[[int, Tensor, Tensor], Tensor]) -> list[Tensor]:
        """The pyramid decoded from its deepest map upward, finest first; the deepest as it came.

        Args:
            skips: The encoder's maps, finest first.
            join: Takes a level (0 is the finest), its map of ``skips`` and the decoded one below it, and
                gives the level's decoded map.

        Raises:
            UserError: A map is not half as large as the one before.
        """
        decoded = [skips[-1]]
        for level in reversed(range(len(skips) - 1)):
            self._check_halved(skips[level], decoded[0])
            decoded.insert(0, join(level, skips[level], decoded[0]))
        return decoded

    def _check_halved(self, fine: Tensor, coarse: Tensor) -> None:
        """Raises :class:`~madnet.errors.UserError` unless ``coarse`` is half as large, rounded up."""
        (height, width), found = fine.shape[2:], tuple(coarse.shape[2:])
        expected = (-(-height // 2), -(-width // 2))
        if found != expected:
            raise UserError(
                f'{type(self).__name__}: a map of {height}×{width} is followed by one of '
                f'{found[0]}×{found[1]}, expected {expected[0]}×{expected[1]}: each must be half as large as '
                "the one before; choose such maps with in_index, or the backbone's strides and dilations "
                'accordingly'
            )

    def predict_by_feat(self, seg_logits: Tensor | list[Tensor], batch_img_metas: list[dict]) -> Tensor:
        """Brings the prediction's logits, the last map, to the size of the image: (B, 1, H, W)."""
        prediction = seg_logits[-1] if isinstance(seg_logits, list) else seg_logits
        meta = batch_img_metas[0]
        # As in mmseg: a torch.Size is the size of the tensor, whatever else the meta says.
        exact = isinstance(meta['img_shape'], torch.Size) or 'pad_shape' not in meta
        return self.to_image(prediction, (meta['img_shape'] if exact else meta['pad_shape'])[:2])

    def loss_by_feat(
        self, seg_logits: Tensor | list[Tensor], batch_data_samples: SampleList
    ) -> dict[str, Tensor]:
        """Losses of every map, named ``loss_<map>``; with several losses ``<loss_name>_<map>``.

        Pixels that ``gt_sem_seg`` marks with ``ignore_index`` count in none of them.
        """
        maps = seg_logits if isinstance(seg_logits, list) else [seg_logits]
        names, weights = self.named_weights(len(maps))
        target = self._target(batch_data_samples)
        modules = self.loss_decode if isinstance(self.loss_decode, nn.ModuleList) else [self.loss_decode]
        aligned = [self.align(logits, target) for logits in maps]
        together = _together(aligned)
        if together is None:
            peaks = [logits.detach().amax() for logits in maps]
        else:
            peaks = together.detach().flatten(1).amax(dim=1).unbind()
        self.highest_logits = dict(zip(names, peaks, strict=True))
        values = [self._values_of(module, aligned, together) for module in modules]
        losses: dict[str, Tensor] = {}
        for k, (name, weight) in enumerate(zip(names, weights, strict=True)):
            for module, of_maps in zip(modules, values, strict=True):
                key = f'{module.loss_name if len(modules) > 1 else "loss"}_{name}'
                value = of_maps[k] if weight == 1 else weight * of_maps[k]
                losses[key] = losses[key] + value if key in losses else value
        return losses

    def _values_of(
        self, module: nn.Module, aligned: Sequence[tuple[Tensor, Tensor]], together: Tensor | None
    ) -> Sequence[Tensor]:
        """A loss of every map: in one go where that can be."""

        def loss(logits: Tensor, truth: Tensor) -> Tensor:
            return module(logits, truth, ignore_index=self.ignore_index)

        if together is None or not isinstance(module, MaskLoss):
            return [loss(logits, truth) for logits, truth in aligned]
        return torch.vmap(loss, in_dims=(0, None))(together, aligned[0][1]).unbind()

    def named_weights(self, number: int) -> tuple[list[str], list[float]]:
        """Names and weights of the last ``number`` maps: a head with deep supervision in evaluation mode has
        its prediction only."""
        return self.map_names[-number:], self.loss_weights[-number:]

    def align(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Brings the logits (B, 1, h, w) of a map and its target (B, H, W) to one size for the loss: to the
        target's, unless a head says otherwise."""
        return self.to_image(logits, target.shape[1:]), target

    def to_image(self, logits: Tensor, size: Sequence[int]) -> Tensor:
        """Logits (B, 1, h, w) → (B, 1, H, W), bilinear; a map that measures ceil(H / s) × ceil(W / s) for a
        power of two s keeps every pixel in its place (see :func:`madnet.models.layers.enlarge`)."""
        height, width = size
        stride = 1
        while stride < max(size):
            if (-(-height // stride), -(-width // stride)) == logits.shape[2:]:
                return enlarge(logits, stride, (height, width))
            stride *= 2
        return resize(logits, size=(height, width), mode='bilinear', align_corners=self.align_corners)

    def _target(self, samples: SampleList) -> Tensor:
        """(B, H, W), 0/1 integers or grey values in 0–1; ``ignore_index`` where nothing counts."""
        labels = self._stack_batch_gt(samples).squeeze(1)
        if not self.soft_targets:
            return labels
        without = next((sample for sample in samples if 'gt_mask' not in sample), None)
        if without is not None:
            raise UserError(
                f'{type(self).__name__} has soft_targets=True but {without.get("img_path", "a sample")} has '
                "no gt_mask (the mask's grey values): keep it in the pipeline's packing step, or set "
                'soft_targets=False'
            )
        grey = torch.stack([sample.gt_mask.data for sample in samples]).squeeze(1).float() / 255
        return grey.masked_fill(labels == self.ignore_index, self.ignore_index)


def _together(aligned: Sequence[tuple[Tensor, Tensor]]) -> Tensor | None:
    """Logits (N, B, 1, H, W) of N > 1 maps that are all trained towards the same target; None for others."""
    first, target = aligned[0]
    alike = all(truth is target and logits.shape == first.shape for logits, truth in aligned)
    return torch.stack([logits for logits, _ in aligned]) if alike and len(aligned) > 1 else None
