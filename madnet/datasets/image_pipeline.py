"""A config's test pipeline for images that have no truth, and that need not be files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmseg.registry import TRANSFORMS

from madnet.errors import UserError

from .catalogue import find_entry
from .images import read_pixels
from .transforms.loading import LoadSIRSTImage
from .wrappers import inner_datasets

_TRUTH_LOADERS = ('LoadSIRSTMask', 'LoadAnnotations')


class ImagePipeline:
    """What a test pipeline does to an image: its loading, its resizing to the base size, its packing.

    The loader turns a file into pixels, all that follows it turns pixels into the network's input. The two
    can be called apart, so that a part of a large image takes the same way as a whole one. Loaders of truth
    are left out.

    Args:
        transforms: The pipeline, as in a config. One without a loader, of a data set that makes its own
            images, gets ``LoadSIRSTImage``.
        channels: What that loader gives, 1 or 3.
        base_size: (Height, width) in pixels for transforms that ask the sample for it, as those of the
            published configs do.
        value_range: (low, high) grey values that become 0 and 255, for sensors that do not use the whole
            range of their type; what lies outside is clipped. None: 8 bit as it is, 16 bit by 255/65535 or as
            the pipeline's loader says, floats on the 0–255 scale.

    Raises:
        UserError: ``value_range`` is empty or reversed.
    """

    def __init__(
        self,
        transforms: Sequence[Mapping[str, Any]],
        channels: int = 3,
        base_size: Sequence[int] | None = None,
        value_range: tuple[float, float] | None = None,
    ):
        if value_range is not None and not value_range[0] < value_range[1]:
            raise UserError(f'value_range: found {tuple(value_range)}, expected (low, high) with low < high.')
        self.base_size = None if base_size is None else tuple(base_size)
        self.value_range = value_range
        steps = [dict(t) for t in transforms if t['type'] not in _TRUTH_LOADERS]
        loaders = [i for i, t in enumerate(steps) if t['type'].startswith(('LoadSIRSTImage', 'LoadImage'))]
        if loaders:
            loader = steps.pop(loaders[0])
            channels = 1 if loader.get('color_type') == 'grayscale' else loader.get('channels', 3)
        else:
            loader = {'type': 'LoadSIRSTImage', 'channels': channels}
        self._from_file = TRANSFORMS.build(loader)
        self._from_array = (
            self._from_file
            if isinstance(self._from_file, LoadSIRSTImage)
            else LoadSIRSTImage(channels=channels)
        )
        self._rest = [TRANSFORMS.build(t) for t in steps]
        #: Whether the network sees images at another size than their own.
        self.resizes = any('Resize' in t['type'] for t in steps)

    @classmethod
    def from_config(cls, cfg: Mapping, value_range: tuple[float, float] | None = None) -> ImagePipeline:
        """The pipeline of a config's ``test_dataloader``; see :func:`pipeline_settings`."""
        return cls(**pipeline_settings(cfg), value_range=value_range)

    def __call__(self, image: str | os.PathLike | np.ndarray) -> dict[str, Any]:
        """File or array (see :meth:`load`) → ``inputs`` (C, h, w) and ``data_samples``."""
        path = None if isinstance(image, np.ndarray) else str(image)
        return self.prepare(self.load(image), path)

    def load(self, image: str | os.PathLike | np.ndarray) -> np.ndarray:
        """Pixels as the network's pipeline sees them first.

        Args:
            image: A file, or (H, W), (H, W, 1) or (H, W, 3) BGR; uint8, uint16, or floats on the 0–255 scale
                unless there is a ``value_range``.

        Returns:
            (H, W, channels) on the 0–255 scale, uint8 or float32.

        Raises:
            UserError: No image, or an array of another shape, type or range.
        """
        if isinstance(image, np.ndarray):
            return self._loaded(self._from_array, {'img': self._check(image)}, 'array')
        if self.value_range is not None:
            return self._loaded(self._from_array, {'img': self._check(read_pixels(image))}, image)
        if not Path(image).is_file():
            raise UserError(f'{image}: no such file.')
        return self._loaded(self._from_file, {'img_path': str(image)}, image)

    def prepare(self, pixels: np.ndarray, path: str | None = None) -> dict[str, Any]:
        """Pixels (H, W, C) from :meth:`load`, or a part of them → ``inputs`` (C, h, w) and
        ``data_samples``."""
        shape = pixels.shape[:2]
        results = {
            'img': pixels,
            'img_path': path,
            'img_shape': shape,
            'ori_shape': shape,
            'seg_fields': [],
            'reduce_zero_label': False,
        }
        if self.base_size is not None:
            results['base_size'] = self.base_size
        for transform in self._rest:
            results = transform(results)
        return results

    @staticmethod
    def _loaded(loader, results: dict, what) -> np.ndarray:
        try:
            return loader(results)['img']
        except (AssertionError, AttributeError, OSError, TypeError) as e:
            # what mmcv's loaders raise for a file that is no image
            raise UserError(f'{what}: not readable as an image ({type(e).__name__}: {e}).') from None

    def _check(self, image: np.ndarray) -> np.ndarray:
        """An array of any source as uint8, uint16, or float32 on the 0–255 scale."""
        if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3)) or not image.size:
            raise UserError(
                f'image array of shape {image.shape}: expected (H, W), (H, W, 1) or (H, W, 3) in BGR order.'
            )
        if image.dtype not in (np.uint8, np.uint16) and image.dtype.kind != 'f':
            raise UserError(f'image array of type {image.dtype}: expected uint8, uint16 or float.')
        if image.dtype.kind == 'f' and not np.isfinite(image).all():
            raise UserError('image array: holds NaN or infinite values; replace them first.')
        if self.value_range is not None:
            low, high = self.value_range
            scaled = (image.astype(np.float32) - low) * np.float32(255 / (high - low))
            return np.clip(scaled, 0, 255)
        if image.dtype.kind != 'f':
            return image
        low, high = image.min(), image.max()
        if low < 0 or high > 255 or (0 < high <= 1):
            # Values of 0–1 taken for 0–255 would be an all but black image, and an empty prediction.
            raise UserError(
                f'image array of {image.dtype}: values {low:g} to {high:g}, expected the 0–255 scale; '
                'say which values are black and white by value_range, such as (0, 1).'
            )
        return image.astype(np.float32)


def pipeline_settings(cfg: Mapping) -> dict[str, Any]:
    """Arguments of :class:`ImagePipeline` for a config: ``transforms``, ``channels``, ``base_size``.

    The base size is the data set's: what the config gives it, or else what the catalogue says of its name.

    Raises:
        UserError: The config has no test pipeline.
    """
    dataset = (cfg.get('test_dataloader') or {}).get('dataset') or {}
    dataset = inner_datasets(dataset)[0]
    transforms = dataset.get('pipeline', cfg.get('test_pipeline'))
    if transforms is None:
        raise UserError(
            'the config has no test_dataloader.dataset.pipeline and no test_pipeline: how images are to be '
            'loaded is not known.'
        )
    size = dataset.get('base_size')
    name = dataset.get('name') or Path(dataset.get('data_root') or '').name
    entry = find_entry(name) if name else None
    if size is None and entry is not None:
        size = entry.base_size
    return {
        'transforms': [dict(t) for t in transforms],
        'channels': _channels(cfg['model']),
        'base_size': (size, size) if isinstance(size, int) else size and tuple(size),
    }


def _channels(model: Mapping) -> int:
    preprocessor = model.get('data_preprocessor') or {}
    return len(preprocessor.get('mean') or ()) or (model.get('backbone') or {}).get('in_channels', 3)
