"""The data preprocessor of infrared small target detection."""

from typing import Any

import torch.nn.functional as F
from mmseg.models.data_preprocessor import SegDataPreProcessor
from mmseg.registry import MODELS

from madnet.errors import UserError


@MODELS.register_module()
class IRSTDPreProcessor(SegDataPreProcessor):
    """mmseg's preprocessor, for images of different sizes and with the number of channels checked.

    In evaluation images are normalised and never padded (unless ``test_cfg`` asks for it, as in mmseg): a
    batch of one size comes out as a tensor (B, C, H, W), any other as a list of tensors (C, Hᵢ, Wᵢ), which
    :class:`IRSTDSegmentor` takes. In training images are padded to the largest of the batch; ``gt_mask`` is
    padded along with ``gt_sem_seg``.

    Args:
        kwargs: As in mmseg's ``SegDataPreProcessor``; ``mean`` and ``std``, one value for each channel, on
            the 0–255 scale.

    Raises:
        UserError: In ``forward``, for an image with more or fewer channels than ``mean`` has values: torch
            would silently spread one channel over three.
    """

    def __init__(self, size_divisor: int | None = None, size: tuple[int, int] | None = None, **kwargs):
        if size is None and size_divisor is None:
            size_divisor = 1
        super().__init__(size=size, size_divisor=size_divisor, **kwargs)

    def forward(self, data: dict, training: bool = False) -> dict[str, Any]:
        """
        Args:
            data: ``inputs``, tensors (C, H, W), uint8 or float on the 0–255 scale; ``data_samples``, or none.
            training: Whether to stack and pad for training.

        Returns:
            ``inputs`` and ``data_samples`` as the model takes them.
        """
        data = self.cast_data(data)
        inputs, samples = data['inputs'], data.get('data_samples')
        self._check_channels(inputs, samples)
        if training:
            return self._pad_masks(super().forward(data, training=True))
        if self.test_cfg or len({image.shape for image in inputs}) == 1:
            return super().forward(data, training=False)
        alone = [super(IRSTDPreProcessor, self).forward({'inputs': [image]})['inputs'][0] for image in inputs]
        return {'inputs': alone, 'data_samples': samples}

    def _check_channels(self, inputs, samples) -> None:
        if not self._enable_normalize:
            return
        expected = self.mean.numel()
        for i, image in enumerate(inputs):
            if image.shape[0] != expected:
                name = samples[i].get('img_path', f'image {i}') if samples else f'image {i}'
                raise UserError(
                    f'{name} came with {image.shape[0]} channel(s), expected {expected} as in '
                    "data_preprocessor.mean: set the channels that the pipeline loads, the preprocessor's "
                    "mean and std, and the backbone's in_channels alike"
                )

    @staticmethod
    def _pad_masks(data: dict) -> dict:
        for sample in data['data_samples']:
            if 'gt_mask' not in sample:
                continue
            mask = sample.gt_mask.data
            padded = F.pad(mask, tuple(sample.get('padding_size', (0, 0, 0, 0))))
            # PixelData refuses a new size while the old data is in place.
            del sample.gt_mask.data
            sample.gt_mask.data = padded
        return data
