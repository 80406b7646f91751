"""Transforms on batches against the transforms themselves, 200 drawn samples each."""

import numpy as np
import pytest
import torch
from mmseg.datasets.transforms import RandomFlip  # noqa: F401  (registers)
from mmseg.registry import TRANSFORMS
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten
from torch.utils.data import default_collate

import madnet  # noqa: F401
from madnet.datasets.seeding import seeded
from madnet.datasets.transforms import batched
from madnet.datasets.transforms.batched import SampleBatch, apply_batch, draw, works_on_batches
from madnet.datasets.transforms.sample_transform import DrawnTransform
from madnet.engine.step_checks import Watched

#: Name → (transforms, tolerance in grey levels of uint8 images, share of pixels that may differ by it):
#: OpenCV and Pillow scale and blur with fixed-point weights.
CASES = {
    'crop': ([dict(type='RandomTargetCrop', size=64)], 0, 0),
    'crop, small margin': ([dict(type='RandomTargetCrop', size=48, target_prob=1.0, margin=3)], 0, 0),
    'zoom': ([dict(type='RandomTargetCrop', size=48, zoom=(0.5, 2.0))], 1, 0.2),
    'toolbox crop': ([dict(type='ToolboxCrop', size=64, pad_value=3.3)], 0, 0),
    'flip': ([dict(type='RandomFlip', prob=0.5, direction='horizontal')], 0, 0),
    'flips': (
        [
            dict(type='RandomTargetCrop', size=64),
            dict(
                type='RandomFlip', prob=[0.25, 0.25, 0.25], direction=['horizontal', 'vertical', 'diagonal']
            ),
        ],
        0,
        0,
    ),
    'turns': ([dict(type='RandomTargetCrop', size=64), dict(type='RandomRot90')], 0, 0),
    'gain': ([dict(type='RandomTargetCrop', size=64), dict(type='GainOffsetJitter')], 0, 0),
    'gamma': (
        [
            dict(type='RandomTargetCrop', size=64),
            dict(type='GainOffsetJitter', gain=(0.5, 2.0), gamma=(0.5, 2.0), pivot='mean'),
        ],
        1,
        0.01,
    ),
    'noise': ([dict(type='RandomTargetCrop', size=64), dict(type='RandomNoise', stripes=(0, 3))], 0, 0),
    'blur': ([dict(type='RandomTargetCrop', size=64), dict(type='RandomBlur', prob=0.7)], 1, 0.05),
    'copies': ([dict(type='RandomTargetCrop', size=96), dict(type='CopyPasteTargets', prob=0.9)], 1, 0.001),
    'formations': (
        [
            dict(type='RandomTargetCrop', size=96),
            dict(type='CopyPasteTargets', prob=1.0, group=(1, 3), max_size=12),
        ],
        1,
        0.001,
    ),
    'defects': ([dict(type='RandomTargetCrop', size=64), dict(type='SensorDefects', prob=0.9)], 0, 0),
    'maximum': ([dict(type='RandomTargetCrop', size=64), dict(type='ScaleToMaximum')], 0, 0),
    'published flip': ([dict(type='PublishedFlip')], 0, 0),
    'published crop': ([dict(type='PublishedRandomCrop', size=64)], 0, 0),
    'published scale': (
        [dict(type='PublishedRandomScale', base_size=64), dict(type='PublishedRandomCrop', size=64)],
        1,
        0.05,
    ),
    'published blur': ([dict(type='PublishedRandomCrop', size=64), dict(type='PublishedBlur')], 1, 0.05),
    'published': (
        [
            dict(type='PublishedFlip'),
            dict(type='PublishedRandomScale'),
            dict(type='PublishedRandomCrop'),
            dict(type='PublishedBlur'),
        ],
        2,
        0.1,
    ),
    'all': (
        [
            dict(type='RandomTargetCrop', size=80, target_prob=0.8),
            dict(type='RandomFlip', prob=0.5),
            dict(type='RandomRot90'),
            dict(type='CopyPasteTargets'),
            dict(type='GainOffsetJitter'),
            dict(type='RandomBlur'),
            dict(type='SensorDefects'),
            dict(type='RandomNoise'),
        ],
        1,
        0.05,
    ),
}
BATCH = 20
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
DEVICES = ['cpu', pytest.param('cuda', marks=needs_gpu)]


def scenes(rng, number, channels, dtype):
    """Smooth scenes of many sizes with noise, and a few targets."""
    for _ in range(number):
        h, w = (int(v) for v in rng.integers(40, 150, 2))
        img = rng.normal(100, 4, (h, w, channels)) + np.linspace(0, 60, w)[None, :, None]
        mask = np.zeros((h, w), np.uint8)
        for _ in range(int(rng.integers(0, 4))):
            th, tw = (int(v) for v in rng.integers(1, 9, 2))
            y, x = int(rng.integers(h - th)), int(rng.integers(w - tw))
            mask[y : y + th, x : x + tw] = rng.integers(60, 256)
            img[y : y + th, x : x + tw] += 70
        img = np.clip(img, 0, 255)
        img = np.rint(img).astype(np.uint8) if dtype == np.uint8 else img.astype(np.float32)
        labels = (mask > 127).astype(np.uint8)
        yield {'img': img, 'gt_mask': mask, 'gt_seg_map': labels, 'seg_fields': ['gt_seg_map', 'gt_mask']}


def by_the_loader(steps, sample, key):
    """The transforms as a loader calls them."""
    with seeded(*key):
        for step in steps:
            sample = step(sample)
    return sample


def drawn_by(steps, sample, key):
    """Only the numbers; masks are followed, the image is not there."""
    sample = {**sample, 'img_shape': sample['img'].shape[:2], 'seg_fields': ['gt_seg_map']}
    del sample['img']
    numbers = []
    with seeded(*key):
        for step in steps:
            numbers.append(draw(step, sample))
            if isinstance(step, DrawnTransform):
                if step.geometric:
                    sample = step.apply(sample, numbers[-1])
            else:
                for axis, name in enumerate(('rows', 'columns')):
                    if numbers[-1][name]:
                        sample['gt_seg_map'] = np.flip(sample['gt_seg_map'], axis)
    return numbers


def on_the_device(steps, samples, keys, device='cpu'):
    sizes = np.array([s['img'].shape[:2] for s in samples])
    drawn = [drawn_by(steps, s, k) for s, k in zip(samples, keys, strict=True)]
    h, w = sizes.max(axis=0)
    image = torch.zeros(len(samples), samples[0]['img'].shape[2], h, w, device=device)
    masks = {
        k: torch.zeros(len(samples), h, w, dtype=torch.uint8, device=device) for k in samples[0]['seg_fields']
    }
    for k, s in enumerate(samples):
        y, x = sizes[k]
        image[k, :, :y, :x] = torch.from_numpy(s['img'].astype(np.float32)).permute(2, 0, 1)
        for name, mask in masks.items():
            mask[k, :y, :x] = torch.from_numpy(s[name])
    whole = torch.full((len(samples), 1, 1, 1), samples[0]['img'].dtype == np.uint8, device=device)
    batch = SampleBatch(image, masks, torch.from_numpy(sizes).to(device), whole, samples[0].get('base_size'))
    for k, step in enumerate(steps):
        numbers = default_collate([each[k] for each in drawn])
        apply_batch(step, batch, {name: value.to(device) for name, value in numbers.items()})
    return batch


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
@pytest.mark.parametrize('name', CASES)
def test_batches_are_the_loaders(name, dtype, device):
    cfgs, levels, share = CASES[name]
    steps = [TRANSFORMS.build(cfg) for cfg in cfgs]
    assert all(map(works_on_batches, steps))
    rng = np.random.default_rng(5)
    off = total = strange = 0
    for number in range(200 // BATCH):
        samples = list(scenes(rng, BATCH, 1 + 2 * (number % 2), dtype))
        for sample in samples:
            sample['base_size'] = (64, 64)
        keys = [(7, number, k) for k in range(BATCH)]
        batch = on_the_device(steps, samples, keys, device)
        images = batch.image.cpu()
        masks = {field: values.cpu() for field, values in batch.masks.items()}
        for k, sample in enumerate(samples):
            expected = by_the_loader(steps, dict(sample), keys[k])
            h, w = expected['img'].shape[:2]
            image = images[k, :, :h, :w].permute(1, 2, 0).numpy()
            total += image.size
            difference = np.abs(image - expected['img'].astype(np.float32))
            if dtype == np.uint8:
                assert difference.max() <= max(levels, 1e-4)
                off += (difference > 0.5).sum()
            else:
                assert difference.max() <= (2e-2 if levels else 1e-4), k
            for field in ('gt_seg_map', 'gt_mask'):
                found = masks[field][k, :h, :w].numpy().astype(int)
                apart = np.abs(found - expected[field])
                limit = 1 if 'zoom' in name and field == 'gt_mask' else 0
                strange += (apart > limit).sum()
    assert off <= share * total
    # a scaled mask's pixel between two may be either
    assert strange <= (1e-4 * total if 'zoom' in name or 'scale' in name or name == 'published' else 0)


def test_no_number_is_read_from_a_tensor():
    """Nothing that a GPU would have to be waited for."""
    samples = list(scenes(np.random.default_rng(0), 4, 1, np.uint8))
    for sample in samples:
        sample['base_size'] = (64, 64)
    for cfgs, _, _ in CASES.values():
        steps = [TRANSFORMS.build(cfg) for cfg in cfgs]
        with Watched() as watched:
            on_the_device(steps, samples, [(1, 2, k) for k in range(4)])
        assert watched.found is None, cfgs


class Brought(TorchDispatchMode):
    """Notes operators in which tensors of the CPU meet those of a device."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        tensors = [t for t in tree_flatten((args, kwargs, out))[0] if isinstance(t, torch.Tensor) and t.ndim]
        if len({t.device.type for t in tensors}) > 1:
            self.found.append(func.overloadpacket.__name__)
        return out


@pytest.mark.parametrize('name', CASES)
def test_nothing_is_brought_from_the_cpu(name):
    """On a device without values, where no number can be read either."""
    steps = [TRANSFORMS.build(cfg) for cfg in CASES[name][0]]
    samples = list(scenes(np.random.default_rng(0), 4, 1, np.uint8))
    drawn = []
    for k, sample in enumerate(samples):
        sample['base_size'] = (64, 64)
        drawn.append(drawn_by(steps, sample, (1, 2, k)))
    shape = (4, 150, 150)
    maps = {key: torch.empty(shape, dtype=torch.uint8, device='meta') for key in ('gt_seg_map', 'gt_mask')}
    size = torch.empty(4, 2, dtype=torch.int64, device='meta')
    image = torch.empty(4, 1, 150, 150, device='meta')
    whole = torch.empty(4, 1, 1, 1, dtype=torch.bool, device='meta')
    batch = SampleBatch(image, maps, size, whole, (64, 64))
    for k, step in enumerate(steps):
        numbers = {n: v.to('meta') for n, v in default_collate([each[k] for each in drawn]).items()}
        with Brought() as brought:
            apply_batch(step, batch, numbers)
        assert not brought.found, type(step).__name__


def test_what_has_no_form_for_batches_is_told():
    step = TRANSFORMS.build(dict(type='PhotoMetricDistortion'))
    assert not works_on_batches(step)
    with pytest.raises(NotImplementedError, match='PhotoMetricDistortion has no form for batches'):
        batched.apply_batch(step, None, {})


def test_a_transform_that_is_derived_is_not_taken_for_its_base():
    class Flip(type(TRANSFORMS.build(dict(type='PublishedFlip')))):
        def apply(self, sample, numbers):
            return sample

    assert not works_on_batches(Flip())
