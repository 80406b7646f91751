"""A config's test pipeline for images that have no truth, and that need not be files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
from mmcv.transforms import LoadAnnotations, LoadImageFromFile
from mmseg.registry import MODELS, TRANSFORMS

from madnet.errors import UserError, in_brief
from madnet.images import ArrayWindows, FrameLoader, Windows, check_value_range
from madnet.images.notices import say_once
from madnet.images.values import ValueRange
from madnet.postponed import real

from .catalogue import find_entry
from .transforms.loading import LoadSIRSTImage, LoadSIRSTMask
from .wrappers import is_kind, kind_of, sets_of

_TRUTH_LOADERS = (LoadSIRSTMask, LoadAnnotations)
#: Packages whose parts are registered wherever madnet is imported.
KNOWN_PACKAGES = {'madnet', 'mmcv', 'mmengine', 'mmseg', 'torch'}
#: Either method of a step may say what it does.
_WAYS = ('transform', '__call__')


class ImagePipeline:
    """What a test pipeline does to an image: its loading, its resizing to the base size, its packing.

    The loader turns a file into pixels, all that follows it turns pixels into the network's input. The two
    can be called apart, so that a part of a large image takes the same way as a whole one. Loaders of truth
    are left out.

    Args:
        transforms: The pipeline, as in a config. One without a loader, of a data set that makes its own
            images, gets ``LoadSIRSTImage`` with this number of ``channels``, 1 or 3.
        base_size: (Height, width) in pixels for transforms that ask the sample for it, as those of the
            published configs do.
        value_range: (low, high) grey values that become 0 and 255, for sensors that do not use the whole
            range of their type; what lies outside is clipped. ``'auto'``: percentiles, measured on the images
            that the loader's ``measure`` is given, else on each image. None: what the pipeline's loader says.

    Raises:
        UserError: ``value_range`` is empty or reversed.
    """

    def __init__(
        self,
        transforms: Sequence[Mapping[str, Any]],
        channels: int = 3,
        base_size: Sequence[int] | None = None,
        value_range: ValueRange = None,
    ):
        self.base_size = None if base_size is None else tuple(base_size)
        steps = [dict(t) for t in transforms if not is_kind(t.get('type'), TRANSFORMS, *_TRUTH_LOADERS)]
        loaders = [i for i, t in enumerate(steps) if _loads_images(t)]
        loader = steps.pop(loaders[0]) if loaders else {'type': 'LoadSIRSTImage', 'channels': channels}
        from_file, rest = TRANSFORMS.build(loader), [TRANSFORMS.build(t) for t in steps]
        #: Name of the loader, where its code is from elsewhere.
        self.own_loader = type(from_file).__name__ if _is_foreign(type(from_file)) else None
        if isinstance(from_file, LoadSIRSTImage):
            value_range = from_file.value_range if value_range is None else value_range
            if all(getattr(type(from_file), way) is getattr(LoadSIRSTImage, way) for way in _WAYS):
                self.loader = FrameLoader(from_file.channels, value_range, from_file.bit_depth)
            else:
                self.loader = _OwnLoader(from_file, value_range)
            from_file = None
        else:
            self.loader = FrameLoader(_channels_given(loader), value_range)
        # mmseg's own, as long as no range is asked for
        self._from_file = None if self.loader.value_range else from_file
        #: What follows the loader, built.
        self.steps = rest
        #: Whether the network sees images at another size than their own, by what the steps and the classes
        #: that they derive from are called: a step may refuse any frame that it could be tried on.
        self.resizes = any('Resize' in kind.__name__ for step in rest for kind in type(step).__mro__)

    @classmethod
    def from_config(cls, cfg: Mapping, value_range: ValueRange = None) -> ImagePipeline:
        """The pipeline of a config's ``test_dataloader``; see :func:`pipeline_settings`."""
        return cls(**with_range(pipeline_settings(cfg), value_range))

    @property
    def value_range(self) -> ValueRange:
        """Grey values that become 0 and 255; see :func:`~madnet.images.to_channels`."""
        return self.loader.value_range

    def __call__(self, image: str | os.PathLike | np.ndarray) -> dict[str, Any]:
        """File or array (see :meth:`load`) → ``inputs`` (C, h, w) and ``data_samples``."""
        path = None if isinstance(image, np.ndarray) else str(image)
        return self.prepare(self.load(image), path)

    def load(self, image: str | os.PathLike | np.ndarray, frame: int | None = None) -> np.ndarray:
        """Pixels as the network's pipeline sees them first: (H, W, channels) on the 0–255 scale, uint8 or
        float32. Arguments and errors as those of :class:`~madnet.images.FrameLoader`."""
        if self._from_file is None or frame is not None or not isinstance(image, str | os.PathLike):
            return self.loader(image, frame)
        if not Path(image).is_file():
            raise UserError(f'{image}: no such file.')
        try:
            return self._from_file({'img_path': str(image)})['img']
        except (AssertionError, AttributeError, OSError, TypeError) as e:
            # what mmcv's loaders raise for a file that is no image
            raise UserError(f'{image}: not readable as an image ({type(e).__name__}: {e}).') from None

    def windows(self, path: str | os.PathLike, frame: int | None = None) -> Windows:
        """Windows of what :meth:`load` gives; mmseg's own loaders know whole files only."""
        if self._from_file is None or frame is not None:
            return self.loader.windows(path, frame)
        return ArrayWindows(self.load(path))

    def prepare(self, pixels: np.ndarray, path: str | None = None) -> dict[str, Any]:
        """Pixels (H, W, C) from :meth:`load`, or a part of them → ``inputs`` (C, h, w) and
        ``data_samples``."""
        shape = pixels.shape[:2]
        results: dict[str, Any] = {
            'img': pixels,
            'img_path': path,
            'img_shape': shape,
            'ori_shape': shape,
            'seg_fields': [],
            'reduce_zero_label': False,
        }
        if self.base_size is not None:
            results['base_size'] = self.base_size
        for transform in self.steps:
            results = transform(results)
        return results


class _OwnLoader(FrameLoader):
    """Whole files, by a class derived from ``LoadSIRSTImage`` that may open them itself or work in the
    sensor's counts, as it does in training and test."""

    def __init__(self, own: LoadSIRSTImage, value_range: ValueRange):
        super().__init__(own.channels, value_range, own.bit_depth)
        self._own = own

    def __call__(self, image: str | os.PathLike | np.ndarray, frame: int | None = None) -> np.ndarray:
        if frame is not None or not isinstance(image, str | os.PathLike):
            found = 'an array' if frame is None else f'{image}, frame {frame}'
            raise UserError(
                f'{type(self._own).__name__}: found {found}, expected a file of one image, for a class that '
                'overrides what LoadSIRSTImage does reads it itself; save each frame as a file.'
            )
        if not Path(image).is_file():
            raise UserError(f'{image}: no such file.')
        own = copy(self._own)  # for files are read in several threads
        own.value_range = self.value_range
        sample: dict[str, Any] = {'img_path': str(image)}
        if self.value_range is not None:
            sample['value_range'] = self.value_range
        where = f'{image}: {type(own).__name__}'
        try:
            given = own(dict(sample))
        except UserError:
            raise
        except Exception as e:  # every decoder fails in its own way
            raise UserError(
                f'{where} cannot load it from {", ".join(sample)}, all that prediction knows '
                f'({type(e).__name__}: {in_brief(e)}).'
            ) from e
        return _pixels_of(given, where)

    def windows(self, path: str | os.PathLike, frame: int | None = None) -> ArrayWindows:
        return ArrayWindows(self(path, frame))

    def as_taken(self, frame: np.ndarray) -> np.ndarray:
        raise UserError(
            f'{type(self._own).__name__}: found a frame made in memory, expected a file of one image, for a '
            'class that overrides what LoadSIRSTImage does reads it itself. madnet export compares on files '
            'with --frames IMAGE; madnet probe and the examples of madnet demo need LoadSIRSTImage itself.'
        )


def all_steps(pipeline: Any) -> Iterator[Mapping[str, Any]]:
    """The dicts of a pipeline's steps in order, those inside other steps (``transforms``) included."""
    for step in pipeline if isinstance(pipeline, (list, tuple)) else ():
        if isinstance(step, Mapping):
            yield step
        # as in RandomApply, and as in RandomChoice, whose transforms are lists of lists
        yield from all_steps(step.get('transforms') if isinstance(step, Mapping) else step)


def may_change_channels(pipeline: Any, loader: Mapping[str, Any]) -> bool:
    """Whether code from elsewhere follows the step that loads images: it may give others of any channels."""
    steps = list(all_steps(pipeline))
    behind = steps[next(i for i, step in enumerate(steps) if step is loader) + 1 :]
    kinds = [step.get('type') for step in behind]
    return any(_is_foreign(real(TRANSFORMS.get(k) if isinstance(k, str) else k)) for k in kinds)


def _is_foreign(kind: Any) -> bool:
    code = [getattr(kind, way) for way in _WAYS if way in dir(kind)]
    return any(getattr(each, '__module__', '').partition('.')[0] not in KNOWN_PACKAGES for each in code)


def _pixels_of(given: Any, where: str) -> np.ndarray:
    pixels = given.get('img') if isinstance(given, Mapping) else None
    if isinstance(pixels, np.ndarray) and pixels.ndim == 3:
        return pixels
    found = type(given).__name__
    if pixels is not None:
        found = f"'img' {type(pixels).__name__} {tuple(getattr(pixels, 'shape', ()))}"
    raise UserError(f"{where} gave {found}, expected a sample whose 'img' is an array (H, W, channels).")


def _loads_images(step: Mapping[str, Any]) -> bool:
    loaders = LoadSIRSTImage, LoadImageFromFile
    return is_kind(step.get('type'), TRANSFORMS, *loaders) or kind_of(step).startswith('LoadImage')


def _channels_given(loader: Mapping[str, Any]) -> int:
    if is_kind(loader.get('type'), TRANSFORMS, LoadSIRSTImage):  # a derived class may have its own default
        return TRANSFORMS.build(loader).channels
    return 1 if loader.get('color_type') == 'grayscale' else loader.get('channels', 3)


def pipeline_settings(cfg: Mapping) -> dict[str, Any]:
    """Arguments of :class:`ImagePipeline` for a config: ``transforms``, ``channels``, ``base_size``,
    and ``value_range`` where the data set has one.

    The base size is the data set's: what the config gives it, or else what the catalogue says of its name.

    Raises:
        UserError: The config has no test pipeline.
    """
    datasets = sets_of(cfg, 'test_dataloader') or [{}]
    dataset = datasets[0]
    given = [check_value_range(each.get('value_range')) for each in datasets]
    ranges = list(dict.fromkeys(map(str, given)))
    if len(ranges) > 1:
        say_once(
            f'the data sets of the config have several value ranges, {" and ".join(ranges)}: frames are read '
            'by the first, unless --value-range says otherwise.'
        )
    transforms = _test_pipeline(cfg)
    if transforms is None:
        raise UserError(
            'the config has no test_dataloader.dataset.pipeline and no test_pipeline: how images are to be '
            'loaded is not known.'
        )
    size = dataset.get('base_size')
    name = dataset.get('name') or Path(dataset.get('data_root') or '').name
    if size is None and (entry := find_entry(name)):
        size = entry.base_size
    settings = {
        'transforms': [dict(t) for t in transforms],
        'channels': channels_of(cfg),
        'base_size': (size, size) if isinstance(size, int) else size and tuple(size),
    }
    return with_range(settings, given[0])


def with_range(settings: Mapping[str, Any], value_range: ValueRange) -> dict[str, Any]:
    """The settings of a pipeline with another ``value_range``, where one is given."""
    return {**settings, **({} if value_range is None else {'value_range': value_range})}


def _test_pipeline(cfg: Mapping) -> Sequence[Mapping[str, Any]] | None:
    dataset: Mapping[str, Any] = next(iter(sets_of(cfg, 'test_dataloader')), {})
    return dataset.get('pipeline', cfg.get('test_pipeline'))


def channels_of(cfg: Mapping) -> int:
    """Channels of the images that a config's network is given: as many as the loader of its test pipeline
    makes. Without a loader, or with a step of one's own behind it, as many as the preprocessor has means of,
    else as the backbone takes, else as the loader makes, else 3."""
    pipeline = _test_pipeline(cfg) or ()
    loader = next(filter(_loads_images, pipeline), None)
    if loader is not None and not may_change_channels(pipeline, loader):
        return _channels_given(loader)
    model = cfg['model']
    means = (model.get('data_preprocessor') or {}).get('mean') or ()
    return len(means) or backbone_channels(model) or (3 if loader is None else _channels_given(loader))


def backbone_channels(model: Mapping) -> int | None:
    """The ``in_channels`` of a config's backbone, those that its class has as default where the config does
    not say; None where neither says a number, or there is no backbone."""
    backbone = model.get('backbone') or {}
    kind = backbone.get('type')
    found = backbone.get('in_channels')
    if found is None and (known := real(MODELS.get(kind) if isinstance(kind, str) else kind)):
        found = getattr(signature(known).parameters.get('in_channels'), 'default', None)
    return found if type(found) is int else None
