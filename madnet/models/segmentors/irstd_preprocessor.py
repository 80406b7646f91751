"""The data preprocessor of infrared small target detection."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmseg.models.data_preprocessor import SegDataPreProcessor
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from madnet.errors import UserError, expect_number


@MODELS.register_module()
class IRSTDPreProcessor(SegDataPreProcessor):
    """mmseg's preprocessor, for images of different sizes and with the number of channels checked.

    In evaluation images are normalised and never padded (unless ``test_cfg`` asks for it, as in mmseg): a
    batch of one size comes out as a tensor (B, C, H, W), any other as a list of tensors (C, Hᵢ, Wᵢ), which
    :class:`IRSTDSegmentor` takes. In training images are padded to the largest of the batch; ``gt_mask`` is
    padded along with ``gt_sem_seg``.

    With ``statistics='image'`` each image, or crop in training, is normalised by its own level and spread in
    place of the training set's: all its channels by their joint median for ``mean``, and the mean absolute
    deviation from it, times √(π/2), for ``std`` (of normally distributed grey levels that is the standard
    deviation; a few bright pixels hardly change it). So the gain and the offset of a camera do not matter, in
    tests no more than in training.

    Args:
        statistics: ``'training'``: every image is normalised by ``mean`` and ``std`` alone; ``'image'``.
        floor: Least spread of an image that is divided by, in grey levels: the noise of an even sky is not to
            be blown up.
        mean, std: One value for each channel, of which there may be any number, in the order that the network
            sees, on the 0–255 scale; None: images stay as they are.
        kwargs: As in mmseg's ``SegDataPreProcessor``.

    Raises:
        UserError: More or fewer values of ``mean`` than of ``std``; in ``forward``, an image with more or
            fewer channels than these: torch would silently spread one channel over three.
    """

    def __init__(
        self,
        size_divisor: int | None = None,
        size: tuple[int, int] | None = None,
        statistics: str = 'training',
        floor: float = 4.0,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        **kwargs,
    ):
        if statistics not in ('training', 'image'):
            raise UserError(
                f"data_preprocessor.statistics: found {statistics!r}, expected 'training' or 'image'."
            )
        expect_number(floor, 'data_preprocessor.floor', above=0)
        for value in std or ():
            expect_number(value, 'data_preprocessor.std', above=0)
        channels = [None if values is None else len(values) for values in (mean, std)]
        if channels[0] != channels[1] or channels[0] == 0:
            raise UserError(
                f'data_preprocessor: found mean={mean} and std={std}, expected a number of each for every '
                'channel, or neither.'
            )
        if size is None and size_divisor is None:
            size_divisor = 1
        super().__init__(size=size, size_divisor=size_divisor, **kwargs)
        if statistics == 'image' and mean is None:
            raise UserError(
                "data_preprocessor: found statistics='image' alone, expected mean and std beside it."
            )
        if mean is not None:  # mmengine's own take one value or three
            for name, values in (('mean', mean), ('std', std)):
                self.register_buffer(
                    name, torch.tensor(values, dtype=torch.float32).view(-1, 1, 1), persistent=False
                )
            # for mmseg: an image that is levelled needs no more
            self._enable_normalize = statistics == 'training'
        self.statistics = statistics
        self.floor = floor

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
        if self.statistics == 'image':
            inputs = [self._levelled(image) for image in inputs]
            data = {**data, 'inputs': inputs}
        if training:
            if self._need_no_padding(inputs):
                return {
                    'inputs': self._normalised(inputs),
                    'data_samples': _with_shapes(data['data_samples'], inputs),
                }
            return self._pad_masks(super().forward(data, training=True))
        if self.test_cfg and samples is None:
            samples = [SegDataSample() for _ in inputs]  # for how each is padded
            data = {**data, 'data_samples': samples}
        if len({image.shape for image in inputs}) == 1:
            return super().forward(data, training=False)
        parts = [
            super(IRSTDPreProcessor, self).forward(
                {'inputs': [image], 'data_samples': samples and samples[k : k + 1]}, training=False
            )
            for k, image in enumerate(inputs)
        ]
        return {
            'inputs': [part['inputs'][0] for part in parts],
            'data_samples': samples and [part['data_samples'][0] for part in parts],
        }

    def _levelled(self, image: Tensor) -> Tensor:
        """An image (C, H, W) by its own median and spread."""
        values = image.float()
        values = values - values.median()
        spread = values.abs().mean() * math.sqrt(math.pi / 2)
        return values / spread.clamp(min=self.floor)

    def _need_no_padding(self, inputs) -> bool:
        shapes = {image.shape for image in inputs}
        if len(shapes) > 1 or self.batch_augments is not None:
            return False
        size = next(iter(shapes))[1:]
        if self.size is not None:
            return tuple(self.size) == tuple(size)
        return all(n % (self.size_divisor or 1) == 0 for n in size)

    def _normalised(self, inputs) -> torch.Tensor:
        """What mmseg does image by image, in one go."""
        batch = inputs if isinstance(inputs, torch.Tensor) else torch.stack(list(inputs))
        if self._channel_conversion and batch.shape[1] == 3:
            batch = batch.flip(1)
        batch = batch.float()
        return (batch - self.mean) / self.std if self._enable_normalize else batch

    def _check_channels(self, inputs, samples) -> None:
        if not hasattr(self, 'mean'):
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


def _with_shapes(samples: list, inputs) -> list:
    for sample, image in zip(samples, inputs, strict=True):
        size = image.shape[1:]
        sample.set_metainfo({'img_shape': size, 'pad_shape': size, 'padding_size': (0, 0, 0, 0)})
    return samples
