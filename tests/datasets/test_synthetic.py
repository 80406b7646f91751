import numpy as np
import pytest
import torch
from mmseg.registry import DATASETS

from madnet.datasets import SyntheticSIRSTDataset, synth_scene
from madnet.errors import UserError

PACK = [{'type': 'PackSIRSTInputs'}]


def test_results_are_as_if_loaded():
    seen = {}
    dataset = DATASETS.build(
        {
            'type': 'SyntheticSIRSTDataset',
            'split': 'train',
            'length': 4,
            'size': 64,
            'seed': 9,
            'pipeline': [lambda r: seen.update(r) or r],
        }
    )
    assert len(dataset) == 4
    dataset[2]
    scene = synth_scene(9, 2, 64)
    np.testing.assert_array_equal(seen['img'][..., 0], scene.image)
    np.testing.assert_array_equal(seen['gt_mask'], scene.mask)
    np.testing.assert_array_equal(seen['gt_seg_map'], scene.mask > 127)
    assert seen['img'].shape == (64, 64, 1)
    assert seen['seg_fields'] == ['gt_seg_map', 'gt_mask']
    assert seen['img_id'] == 'train_000002'
    assert seen['scene'] == scene.kind


@pytest.mark.parametrize('channels', [1, 3])
def test_loading_transforms_may_stand_in_the_pipeline(channels):
    pipeline = [{'type': 'LoadSIRSTImage', 'channels': channels}, {'type': 'LoadSIRSTMask'}, *PACK]
    sample = SyntheticSIRSTDataset(2, 64, split='train', pipeline=pipeline)[0]
    assert sample['inputs'].shape == (channels, 64, 64)
    assert sample['data_samples'].gt_mask.shape == (64, 64)


def test_packed_sample():
    dataset = SyntheticSIRSTDataset(8, (64, 80), split='test', pipeline=PACK, test_mode=True)
    for sample in (dataset[i] for i in range(8)):
        truth, mask = sample['data_samples'].gt_sem_seg.data, sample['data_samples'].gt_mask.data
        assert sample['inputs'].shape == (1, 64, 80)
        assert sample['inputs'].dtype == torch.uint8
        assert truth.shape == mask.shape == (1, 64, 80)
        assert truth.dtype == torch.int64
        assert mask.dtype == torch.uint8
        assert torch.equal(truth, (mask > 127).long())
        meta = sample['data_samples'].metainfo
        assert meta['ori_shape'] == meta['img_shape'] == meta['base_size'] == (64, 80)
        assert meta['dataset_name'] == 'synthetic'
        assert meta['scene'] in ('cloud', 'sea', 'ground', 'sky')


def test_splits_and_seeds_show_other_scenes():
    images = {
        (split, seed): SyntheticSIRSTDataset(1, 64, seed, split).read_sample(0)[0].tobytes()
        for split in ('train', 'val', 'test')
        for seed in (0, 1)
    }
    assert len(set(images.values())) == 6


def test_only_fresh_scenes_change_with_the_epoch():
    same = SyntheticSIRSTDataset(3, 64, split='train')
    fresh = SyntheticSIRSTDataset(3, 64, split='train', fresh=True)
    first = [d.read_sample(1)[0] for d in (same, fresh)]
    for dataset in (same, fresh):
        dataset.set_epoch(1)
    np.testing.assert_array_equal(same.read_sample(1)[0], first[0])
    assert not np.array_equal(fresh.read_sample(1)[0], first[1])
    np.testing.assert_array_equal(fresh.read_sample(1)[0], synth_scene(0, 4, 64).image)


def test_setting_the_seed_of_augmentations_keeps_the_scenes():
    dataset = SyntheticSIRSTDataset(2, 64, seed=1, split='train')
    before = dataset.read_sample(0)[0]
    dataset.seed = 2
    np.testing.assert_array_equal(dataset.read_sample(0)[0], before)


def test_described():
    def make(**kwargs):
        return SyntheticSIRSTDataset(**{'length': 5, 'size': 64, 'split': 'val', **kwargs}).describe()

    record = make()
    assert record == make()
    assert (record['name'], record['split'], record['images']) == ('synthetic', 'val', 5)
    others = [make(seed=1), make(size=72), make(split='test'), make(length=6)]
    assert len({record['split_sha256'], *(o['split_sha256'] for o in others)}) == 5


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        ({'split': 'tset'}, "Did you mean 'test'"),
        ({'length': 0}, 'length: found 0'),
        ({'size': 32}, '48 × 48'),
    ],
)
def test_wrong_arguments(kwargs, message):
    with pytest.raises(UserError, match=message):
        SyntheticSIRSTDataset(**{'split': 'train', **kwargs})
