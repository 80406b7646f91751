"""Images on the device give the batches that the loader gives."""

import pytest
import torch
from mmengine.dataset import DefaultSampler, pseudo_collate
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS
from torch.utils.data import DataLoader

import madnet  # noqa: F401
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


@pytest.mark.parametrize(
    ('pipeline', 'sides', 'stored'),
    [(RESIZED, [48, 48], torch.float32), (SIZES, [32, 48], torch.uint8), (SCALED, [32, 32], torch.uint8)],
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
