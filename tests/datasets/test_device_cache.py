"""Images on the device give the batches that the loader gives."""

import shutil
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

CROP, PACK = dict(type='RandomTargetCrop', size=32), dict(type='PackSIRSTInputs')

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
on_each_device = pytest.mark.parametrize('device', ['cpu', pytest.param('cuda', marks=needs_gpu)])


def assert_batch_is(cache, loader, expected):
    """The batch of all samples of a loader against what its pipelines gave."""
    drawn = loader.collate_fn([loader.dataset[k] for k in range(len(expected))])['drawn']
    device = cache.images.device
    batch = cache.batch({name: torch.from_numpy(values).to(device) for name, values in drawn.items()})
    batch = {name: values.cpu() for name, values in batch.items()}
    for k, sample in enumerate(expected):
        torch.testing.assert_close(batch['inputs'][k], sample['inputs'].float(), rtol=0, atol=1e-3)
        truth = sample['data_samples']
        assert torch.equal(batch['gt_sem_seg'][k], truth.gt_sem_seg.data.long())
        assert torch.equal(batch['gt_mask'][k], truth.gt_mask.data)


@on_each_device
@pytest.mark.parametrize(
    ('pipeline', 'sides', 'stored'),
    [
        (RESIZED, [48, 48], torch.float32),
        (SIZES, [32, 48], torch.uint8),
        (SCALED, [32, 32], torch.uint8),
        (COPIED, [32, 48], torch.uint8),
    ],
)
def test_batches_are_the_loaders(pipeline, sides, stored, device):
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
    assert why_not_cached(loader, torch.device(device)) is None
    cache = DeviceCache(loader, torch.device(device))
    assert dataset[0]['inputs'].shape[1:] == expected[1][0]['inputs'].shape[1:]  # nothing has changed yet
    cache.take_over()
    assert cache.images.dtype == stored
    for epoch, side in enumerate(sides):
        dataset.set_epoch(epoch, 2)
        assert expected[epoch][0]['inputs'].shape[1:] == (side, side)
        assert_batch_is(cache, loader, expected[epoch])


@on_each_device
def test_images_that_nearly_show_a_test_image_stay_out_of_it(make_set, monkeypatch, tmp_path, device):
    """In two sets, of which one leaves such an image out."""
    init_default_scope('mmseg')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    root = make_set('OfTheDevice', 'abcde', lists={'train.txt': ['a', 'b', 'c'], 'test.txt': ['d', 'e']})
    shutil.copy(root / 'images' / 'd.png', root / 'images' / 'b.png')
    own = dict(type='SIRSTDataset', data_root=str(root), split='trainval', exclude_near_test=True)
    other = dict(type='SyntheticSIRSTDataset', split='train', length=2, size=(70, 90))
    sets = [dict(each, pipeline=[*LOAD, CROP, PACK]) for each in (own, other)]
    dataset = DATASETS.build(dict(type='ConcatDataset', datasets=sets))
    for each in dataset.datasets:
        each.set_epoch(0)
    expected = [dataset[k] for k in range(4)]
    assert [s['data_samples'].img_id for s in expected[:2]] == ['a', 'c']
    loader = DataLoader(dataset, 4, sampler=DefaultSampler(dataset), collate_fn=pseudo_collate)
    cache = DeviceCache(loader, torch.device(device))
    cache.take_over()
    assert len(cache.images) == 4
    assert_batch_is(cache, loader, expected)


def _loader(pipeline, workers=0, **dataset):
    init_default_scope('mmseg')
    made = DATASETS.build({**dataset, **({'pipeline': pipeline} if pipeline else {})})
    settings = {'num_workers': workers, 'persistent_workers': workers > 0}
    return DataLoader(made, 2, sampler=DefaultSampler(made), collate_fn=pseudo_collate, **settings)


def test_a_step_taken_out_of_a_pipeline_is_not_drawn_any_more():
    """The pipeline is the same object, as a hook may leave it."""
    steps = [*LOAD, CROP, dict(type='RandomRot90'), PACK]
    loader = _loader(steps, type='SyntheticSIRSTDataset', split='train', length=2)
    DeviceCache(loader, torch.device('cpu')).take_over()
    assert '1.turns' in next(iter(loader))['drawn']
    pipeline = loader.dataset.pipeline
    pipeline.transforms = [step for step in pipeline.transforms if type(step).__name__ != 'RandomRot90']
    batch = next(iter(loader))
    assert 'drawn' not in batch
    assert len(batch['inputs']) == 2


@pytest.mark.parametrize('workers', [0, 2])
def test_a_setting_of_a_step_changed_by_a_hook_is_what_the_loader_makes_of_it(workers):
    """Workers that live on do not hear of it; what they have drawn is applied with what they know."""
    loaders = [
        _loader([*LOAD, CROP, PACK], workers, type='SyntheticSIRSTDataset', split='train', length=2, size=64)
        for _ in range(2)
    ]
    for each in loaders:
        each.sampler.shuffle = False
        each.dataset.set_epoch(0)
    cache = DeviceCache(loaders[1], torch.device('cpu'))
    cache.take_over()
    for side in (32, 48):
        for each in loaders:
            each.dataset.pipeline.transforms[2].size = side
        plain, ours = (next(iter(each)) for each in loaders)
        if 'drawn' in ours:
            ours = cache.batch({name: torch.from_numpy(v) for name, v in ours['drawn'].items()})
        for image, expected in zip(ours['inputs'], plain['inputs'], strict=True):
            assert torch.equal(image, expected.type_as(image))


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


PUBLISHED = [*LOAD, dict(type='PublishedRandomCrop'), PACK]
RESIZED_FIRST = [*LOAD, dict(type='PublishedTestResize', size=64), *PUBLISHED[2:]]


@pytest.mark.parametrize(
    ('steps', 'sides', 'why'),
    [
        (PUBLISHED, (64, 48), 'its data sets have different base sizes.'),
        (PUBLISHED, (64, 64), None),
        (RESIZED_FIRST, (64, 48), None),
        ([*LOAD, dict(type='PublishedRandomCrop', size=48), PACK], (64, 48), None),
    ],
)
def test_sets_whose_crops_differ_stay_with_the_loader(steps, sides, why):
    """A base size is a set's own, and what the published crop cuts unless it has a size."""
    made = dict(type='SyntheticSIRSTDataset', split='train', length=2, pipeline=steps)
    loader = _loader(None, type='ConcatDataset', datasets=[dict(made, size=side) for side in sides])
    assert why_not_cached(loader, torch.device('cpu')) == why
    if why is None:
        for each in loader.dataset.datasets:
            each.set_epoch(0)
        expected = [loader.dataset[k] for k in range(4)]
        cache = DeviceCache(loader, torch.device('cpu'))
        cache.take_over()
        assert_batch_is(cache, loader, expected)


def test_sets_of_few_images_are_put_on_the_device():
    made = dict(type='SyntheticSIRSTDataset', split='train', pipeline=[*LOAD, CROP, PACK])
    loader = _loader(None, type='ConcatDataset', datasets=[dict(made, length=n) for n in (1, 3)])
    assert len(DeviceCache(loader, torch.device('cpu')).images) == 4


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


@on_each_device
def test_images_of_8_and_of_16_bits_keep_their_values(tmp_path, device):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (64, 64), np.uint8), rng.integers(0, 65535, (64, 64), np.uint16)]
    loader = _loader([*LOAD, CROP, dict(type='GainOffsetJitter'), PACK], **_folder(tmp_path, images))
    made = loader.dataset
    made.set_epoch(0)
    expected = [made[k] for k in range(2)]
    cache = DeviceCache(loader, torch.device(device))
    cache.take_over()
    assert_batch_is(cache, loader, expected)


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
