"""Images on the device give the batches that the loader gives."""

from contextlib import nullcontext

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler, pseudo_collate
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS
from torch.utils.data import DataLoader

import madnet  # noqa: F401
from madnet.datasets import device_cache
from madnet.datasets.device_cache import DeviceCache, why_not_cached

LOAD = [dict(type='LoadSIRSTImage', channels=3), dict(type='LoadSIRSTMask')]
#: As in UIU-Net's published recipe: every image is resized in the same way each time, by what no batch can.
RESIZED = [
    *LOAD,
    dict(type='ScaleToMaximum'),
    dict(type='PublishedTestResize', size=64),
    dict(type='PublishedRandomCrop', size=48),
    dict(type='RandomFlip', prob=0.5, direction='vertical'),
    dict(type='PackSIRSTInputs'),
]
SIZES = [*LOAD, dict(type='RandomTargetCrop', size=[32, 48, 64]), dict(type='PackSIRSTInputs')]
SCALED = [
    *LOAD,
    dict(type='ScaleToMaximum'),
    dict(type='RandomTargetCrop', size=32),
    dict(type='PackSIRSTInputs'),
]
#: No step after the copies looks at labels, which are followed no further.
COPIED = [*SIZES[:-1], dict(type='CopyPasteTargets', prob=1.0), SIZES[-1]]


@pytest.mark.parametrize(
    ('pipeline', 'sides', 'stored'),
    [
        (RESIZED, [48, 48], torch.float32),
        (SIZES, [32, 48], torch.uint8),
        (SCALED, [32, 32], torch.uint8),
        (COPIED, [32, 48], torch.uint8),
    ],
)
def test_batches_are_the_loaders(pipeline, sides, stored):
    init_default_scope('mmseg')
    dataset = DATASETS.build(
        dict(type='SyntheticSIRSTDataset', split='train', length=6, size=(70, 90), pipeline=pipeline)
    )
    dataset.seed = 7
    expected = []
    for epoch in range(2):
        dataset.set_epoch(epoch, 2)
        expected.append([dataset[k] for k in range(6)])
    loader = DataLoader(dataset, 3, sampler=DefaultSampler(dataset), collate_fn=pseudo_collate)
    assert why_not_cached(loader, torch.device('cpu')) is None
    cache = DeviceCache(loader, torch.device('cpu'))
    assert dataset[0]['inputs'].shape[1:] == expected[1][0]['inputs'].shape[1:]  # nothing has changed yet
    cache.take_over()
    assert cache.images.dtype == stored
    for epoch, side in enumerate(sides):
        dataset.set_epoch(epoch, 2)
        drawn = loader.collate_fn([dataset[k] for k in range(6)])['drawn']
        batch = cache.batch({name: torch.from_numpy(values) for name, values in drawn.items()})
        assert batch['inputs'].shape[2:] == (side, side)
        for k, sample in enumerate(expected[epoch]):
            torch.testing.assert_close(batch['inputs'][k], sample['inputs'].float(), rtol=0, atol=1e-3)
            truth = sample['data_samples']
            assert torch.equal(batch['gt_sem_seg'][k], truth.gt_sem_seg.data.long())
            assert torch.equal(batch['gt_mask'][k], truth.gt_mask.data)


def _loader(pipeline, **dataset):
    init_default_scope('mmseg')
    made = DATASETS.build({**dataset, 'pipeline': pipeline})
    return DataLoader(made, 2, sampler=DefaultSampler(made), collate_fn=pseudo_collate)


CROP, PACK = dict(type='RandomTargetCrop', size=32), dict(type='PackSIRSTInputs')


@pytest.mark.parametrize(
    'step',
    [
        dict(type='RandomChoice', transforms=[[CROP], [dict(CROP, zoom=(0.5, 2.0))]]),
        dict(type='RandomApply', transforms=[dict(type='RandomBlur')]),
        dict(type='RandomResize', scale=(64, 64), ratio_range=(0.5, 2.0)),
    ],
)
def test_what_draws_anew_each_time_is_not_taken_for_loading(step):
    loader = _loader([*LOAD, step, CROP, PACK], type='SyntheticSIRSTDataset', split='train', length=2)
    assert why_not_cached(loader, torch.device('cpu')) == f'{step["type"]} has no form for batches.'


@pytest.mark.parametrize('after', [[], [dict(type='RandomRot90'), dict(type='PublishedRandomCrop')], [CROP]])
def test_a_scale_is_for_the_published_crop(after):
    steps = [*LOAD, dict(type='PublishedRandomScale', base_size=64), dict(type='PublishedFlip')]
    loaders = [
        _loader([*steps, *more, PACK], type='SyntheticSIRSTDataset', split='train', length=2)
        for more in (after, [dict(type='PublishedRandomCrop', size=32)])
    ]
    told = 'after PublishedRandomScale comes another step than PublishedRandomCrop.'
    assert [why_not_cached(each, torch.device('cpu')) for each in loaders] == [told, None]


def _folder(tmp_path, images):
    for folder in ('images', 'masks'):
        (tmp_path / folder).mkdir()
    for k, image in enumerate(images):
        cv2.imwrite(str(tmp_path / f'images/{k}.png'), image)
        mask = np.zeros(image.shape, np.uint8)
        mask[20:23, 30:33] = 255
        cv2.imwrite(str(tmp_path / f'masks/{k}.png'), mask)
    return {'type': 'SIRSTDataset', 'data_root': str(tmp_path), 'split': 'all'}


@pytest.mark.parametrize(
    ('steps', 'why'),
    [
        ([dict(type='RandomRot90'), CROP], 'RandomRot90 comes before the crop'),
        ([dict(type='GainOffsetJitter', pivot='mean'), CROP], 'GainOffsetJitter comes before the crop'),
        ([dict(type='GainOffsetJitter'), CROP], None),
        ([dict(type='RandomNoise'), CROP], 'RandomNoise comes before the crop'),
        ([dict(type='RandomFlip', prob=0.5)], 'no step crops'),
    ],
)
def test_steps_that_see_the_rest_of_the_canvas_are_refused(tmp_path, steps, why):
    images = [np.full(size, 90, np.uint8) for size in ((64, 64), (48, 64))]
    loader = _loader([*LOAD, *steps, PACK], **_folder(tmp_path, images))
    with pytest.raises(ValueError, match=why) if why else nullcontext():
        DeviceCache(loader, torch.device('cpu'))


def test_images_of_8_and_of_16_bits_keep_their_values(tmp_path):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (64, 64), np.uint8), rng.integers(0, 65535, (64, 64), np.uint16)]
    loader = _loader([*LOAD, CROP, dict(type='GainOffsetJitter'), PACK], **_folder(tmp_path, images))
    made = loader.dataset
    made.set_epoch(0)
    expected = [made[k]['inputs'].float() for k in range(2)]
    cache = DeviceCache(loader, torch.device('cpu'))
    cache.take_over()
    drawn = loader.collate_fn([made[k] for k in range(2)])['drawn']
    batch = cache.batch({name: torch.from_numpy(values) for name, values in drawn.items()})
    for found, sample in zip(batch['inputs'], expected, strict=True):
        torch.testing.assert_close(found, sample, rtol=0, atol=1e-3)


def test_one_large_image_is_what_all_take(tmp_path, monkeypatch):
    """Images share a canvas: what they take is known before it is made."""
    images = [np.full(size, 90, np.uint8) for size in [(64, 64)] * 3 + [(640, 64)]]
    loader = _loader([*LOAD, CROP, PACK], **_folder(tmp_path, images))
    asked = []
    monkeypatch.setattr(
        device_cache, '_too_large', lambda needed, device: asked.append(needed) or 'too large.'
    )
    with pytest.raises(ValueError, match='too large'):
        DeviceCache(loader, torch.device('cpu'))
    assert asked == [4 * 640 * 64 * (images[0].itemsize * 3 + 1)]
