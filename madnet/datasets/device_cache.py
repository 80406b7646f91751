"""Training images on the device, where their batches are cut and augmented; loaders only draw the numbers."""

import copy
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import Any

import numpy as np
import torch
from mmcv.transforms import RandomFlip
from torch import Tensor
from torch.utils.data import DataLoader

from madnet.datasets.sirst_dataset import TargetDataset
from madnet.datasets.synthetic import SyntheticSIRSTDataset
from madnet.datasets.transforms.batched import Drawn, SampleBatch, apply_batch, draw, works_on_batches
from madnet.datasets.transforms.formatting import PackSIRSTInputs
from madnet.datasets.transforms.loading import LoadSIRSTImage, LoadSIRSTMask
from madnet.datasets.transforms.maximum_scale import ScaleToMaximum
from madnet.datasets.transforms.native_scale import (
    GainOffsetJitter,
    RandomBlur,
    RandomNoise,
    RandomRot90,
    RandomTargetCrop,
)
from madnet.datasets.transforms.published_chain import (
    PublishedBlur,
    PublishedFlip,
    PublishedRandomCrop,
    PublishedRandomScale,
    PublishedTestResize,
)
from madnet.datasets.transforms.toolbox_crop import ToolboxCrop
from madnet.datasets.wrappers import inner_datasets

#: Share of the device's free memory that images may take.
_SHARE = 0.5
#: Steps that give the same for an image each time, and so may come before images are put on the device.
_STEADY = (LoadSIRSTImage, LoadSIRSTMask, PublishedTestResize, ScaleToMaximum)
#: Steps after which the samples of a batch have one size.
_CROPS = (RandomTargetCrop, ToolboxCrop, PublishedRandomCrop)
#: Steps that look further than a sample's own size, of which the rest of the canvas is no part.
_LOOKS_FAR = (RandomRot90, RandomNoise, RandomBlur, PublishedBlur, GainOffsetJitter)


@dataclass
class _Part:
    """What a data set's samples are drawn by, in a loading process."""

    dataset: TargetDataset
    first: int
    steps: Sequence[Any]
    labels: list[np.ndarray]
    infos: list[dict]
    told: list[tuple[Any, dict]]
    parts: list['_Part']

    def __call__(self, index: int) -> dict:
        """The sample's number among all, and what its transforms drew, by ``<place of the step>.<name>``; the
        sample itself once a hook has given one of the data sets other steps, or told one something else."""
        if any(_told(p.dataset) != p.told for p in self.parts):
            return type(self.dataset).prepare_data(self.dataset, index)
        sample = {**self.infos[index], 'gt_seg_map': self.labels[index], 'seg_fields': ['gt_seg_map']}
        sample['epoch'] = self.dataset.epoch
        drawn = {'index': self.first + index, 'img_path': sample.get('img_path', '?')}
        for k, step in enumerate(self.steps):
            numbers = draw(step, sample)
            drawn |= {f'{k}.{name}': value for name, value in numbers.items()}
            if not any(getattr(later, 'looks_at_labels', False) for later in self.steps[k + 1 :]):
                sample['seg_fields'] = []
            if isinstance(step, RandomFlip):
                for axis, name in enumerate(('rows', 'columns')):
                    if numbers[name] and sample['seg_fields']:
                        sample['gt_seg_map'] = np.flip(sample['gt_seg_map'], axis)
            elif step.geometric:
                sample = step.apply(sample, numbers)
        return drawn


class DoesNotFit(ValueError):
    """The device has no room for the images; the message says how much they take."""


class DeviceCache:
    """The images of a training loader on a device, as they are once loaded: (N, C, H, W), the smaller ones in
    the upper left of a common canvas, with their masks.

    After :meth:`take_over` the loader gives ``drawn``, arrays (B, …) of what the transforms drew for a
    batch, and ``img_path``; :meth:`batch` makes images and masks of them. Once a hook changes a data set's
    steps, to augment less, say, the loader gives batches as before.

    One batch is tried at once, so that what does not work on a device fails before anything has changed;
    random numbers are drawn for it.
    """

    def __init__(self, loader: DataLoader, device: torch.device):
        self.steps: Sequence[Any] = ()
        self._loader = loader
        self._parts: list[_Part] = []
        images: list[np.ndarray] = []
        masks: list[np.ndarray] = []
        for dataset in inner_datasets(loader.dataset):
            loading, self.steps = _split(dataset)
            samples = _load(dataset, loading, range(len(dataset)))
            first = len(images)
            images += [sample.pop('img') for sample in samples]
            masks += [sample.pop('gt_mask') for sample in samples]
            labels = [sample.pop('gt_seg_map') for sample in samples]
            part = _Part(dataset, first, self.steps, labels, samples, _told(dataset), self._parts)
            self._parts.append(part)
        self.steps = copy.deepcopy(self.steps)  # a hook's changes may not reach the loading processes
        self.base_size = samples[0].get('base_size')
        sizes = np.array([image.shape[:2] for image in images])
        if len(np.unique(sizes, axis=0)) > 1:
            self._check_steps_before_crop()
        # the largest image decides on all
        itemsize = np.result_type(*{image.dtype for image in images}).itemsize
        each = int(sizes.max(axis=0).prod()) * (images[0].shape[2] * itemsize + 1)
        if reason := _too_large(len(images) * each, device):
            raise DoesNotFit(reason)
        grey = [image.dtype == np.uint8 for image in images]
        self.whole = torch.tensor(grey).view(-1, 1, 1, 1).to(device)
        self.size = torch.from_numpy(sizes).to(device)
        self.images = _canvas([image.transpose(2, 0, 1) for image in images], sizes.max(axis=0)).to(device)
        self.masks = _canvas(masks, sizes.max(axis=0)).to(device)
        several = (
            isinstance(step, RandomTargetCrop) and not isinstance(step.size, int) for step in self.steps
        )
        shapes = [f'{k}.size' for k, has in enumerate(several) if has]
        self._collate = partial(_collated, shapes=shapes, collate=loader.collate_fn)
        some = self._collate([part(index) for index in range(min(2, len(samples)))])['drawn']
        self.batch({name: torch.from_numpy(value).to(device) for name, value in some.items()})

    def _check_steps_before_crop(self) -> None:
        if not any(isinstance(step, _CROPS) for step in self.steps):
            raise ValueError('images have several sizes, and no step crops.')
        for step in takewhile(lambda step: not isinstance(step, _CROPS), self.steps):
            from_black = isinstance(step, GainOffsetJitter) and step.pivot == 'black'
            if isinstance(step, _LOOKS_FAR) and not from_black:
                raise ValueError(
                    f'{type(step).__name__} comes before the crop, and images have several sizes.'
                )

    def take_over(self) -> None:
        """Let the loader's data sets draw only, from now on."""
        for dataset, part in zip(inner_datasets(self._loader.dataset), self._parts, strict=True):
            dataset.prepare_data = part
        self._loader.collate_fn = self._collate

    @property
    def bytes(self) -> int:
        """What it takes on the device."""
        return sum(t.numel() * t.element_size() for t in (self.images, self.masks))

    def batch(self, drawn: Drawn) -> dict[str, Tensor]:
        """A batch from what was drawn for it, which lies on the device.

        Returns:
            ``inputs`` (B, C, H, W) float32; ``gt_sem_seg`` int64 and ``gt_mask`` uint8, (B, 1, H, W).
        """
        index = drawn['index']
        masks = self.masks[index]
        image = self.images[index]
        batch = SampleBatch(
            image.float(),
            {'gt_seg_map': (masks > 127).to(torch.uint8), 'gt_mask': masks},
            self.size[index],
            self.whole[index],
            self.base_size,
        )
        for k, step in enumerate(self.steps):
            numbers = {n.partition('.')[2]: v for n, v in drawn.items() if n.startswith(f'{k}.')}
            apply_batch(step, batch, numbers)
        return {
            'inputs': batch.image,
            'gt_sem_seg': batch.masks['gt_seg_map'][:, None].long(),
            'gt_mask': batch.masks['gt_mask'][:, None],
        }


def why_not_cached(loader: DataLoader, device: torch.device) -> str | None:
    """What keeps a training loader's images from being put on a device; None if nothing."""
    pipelines, base_sizes = set(), set()
    needed = 0
    for dataset in inner_datasets(loader.dataset):
        if not isinstance(dataset, TargetDataset):
            return f'{type(dataset).__name__} is no data set of madnet.'
        if isinstance(dataset, SyntheticSIRSTDataset) and dataset.fresh:
            return f'{dataset.dataset_name} makes new scenes in every epoch.'
        loading, steps = _split(dataset)
        for step in steps:
            if not works_on_batches(step):
                return f'{type(step).__name__} has no form for batches.'
        for k, step in enumerate(steps):
            # on the device nothing is scaled before the crop, which makes only what it shows
            later = (each for each in steps[k + 1 :] if not isinstance(each, RandomFlip | PublishedFlip))
            next_one = next(later, None)
            if isinstance(step, PublishedRandomScale) and not isinstance(next_one, PublishedRandomCrop):
                return 'after PublishedRandomScale comes another step than PublishedRandomCrop.'
        if not steps or not isinstance(dataset.pipeline.transforms[-1], PackSIRSTInputs):
            return 'the pipeline does not crop, or does not end with PackSIRSTInputs.'
        pipelines.add(repr(steps))
        [sample] = _load(dataset, loading, [0])
        if any(isinstance(step, PublishedRandomCrop) and step.size is None for step in steps):
            base_sizes.add(sample.get('base_size'))  # which its crops have
        # whatever an image's depth, decoded it has about as many bytes as the first
        needed += len(dataset) * sample['img'].nbytes * 2
    if len(pipelines) > 1:
        return 'its data sets have different pipelines.'
    if len(base_sizes) > 1:
        return 'its data sets have different base sizes.'
    return _too_large(needed, device)


def _too_large(needed: int, device: torch.device) -> str | None:
    """Why a device has no room for this many bytes; None where it has."""
    free = torch.cuda.mem_get_info(device)[0] if device.type == 'cuda' else None
    if free is not None and needed > _SHARE * free:
        return f'about {needed >> 20} MiB of images do not fit into half of {free >> 20} MiB that are free.'
    return None


def _split(dataset: TargetDataset) -> tuple[list, list]:
    """The steps of a pipeline that give the same for an image each time, and those that augment, without the
    last one, which packs."""
    steps = list(dataset.pipeline.transforms)
    first = len(list(takewhile(lambda step: type(step) in _STEADY, steps)))
    while first and isinstance(steps[first - 1], ScaleToMaximum):
        first -= 1  # on the device, where bytes become floats
    return steps[:first], steps[first:-1]


def _told(dataset: TargetDataset) -> list[tuple[Any, dict]]:
    """The steps of a pipeline, and their settings at this time."""
    steps = getattr(dataset.pipeline, 'transforms', ())
    return [(step, dict(getattr(step, '__dict__', {}))) for step in steps]


def _load(dataset: TargetDataset, loading: Sequence[Any], indices: Sequence[int]) -> list[dict]:
    """Samples as they are before their first augmentation; decoded side by side, in threads."""

    def load(index: int) -> dict:
        sample = dataset.prepare_data(index)
        for step in loading:
            sample = step(sample)
        return sample

    pipeline, dataset.pipeline = dataset.pipeline, lambda sample: sample
    try:
        with ThreadPoolExecutor() as pool:
            return list(pool.map(load, indices))
    finally:
        dataset.pipeline = pipeline


def _canvas(maps: list[np.ndarray], size: np.ndarray) -> Tensor:
    """Maps (…, Hᵢ, Wᵢ) in the upper left of (N, …, H, W)."""
    canvas = np.zeros((len(maps), *maps[0].shape[:-2], *size), np.result_type(*{each.dtype for each in maps}))
    for place, each in zip(canvas, maps, strict=True):
        place[..., : each.shape[-2], : each.shape[-1]] = each
    return torch.from_numpy(canvas)


def _collated(samples: list[dict], shapes: Sequence[str], collate: Callable) -> dict:
    """A batch of what was drawn; ``shapes`` names numbers, alike in a batch, on which the sizes of maps
    depend: n is given as (B, n), since a graph may depend on shapes, not on values. Of samples themselves,
    what ``collate`` makes of them."""
    if 'inputs' in samples[0]:
        return collate(samples)
    paths = [sample.pop('img_path') for sample in samples]
    # not tensors, for each of which a loading process would open a file to share its memory
    drawn = {name: np.stack([np.asarray(sample[name]) for sample in samples]) for name in samples[0]}
    for name in shapes:
        drawn[name] = np.zeros((len(samples), int(drawn[name][0])), bool)
    return {'drawn': drawn, 'img_path': paths}
