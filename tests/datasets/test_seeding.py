"""With real data loaders: a sample depends on (seed, epoch, index) and on nothing else."""

import multiprocessing
import random

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmseg.registry import DATASETS
from torch.utils.data import DataLoader

from madnet.datasets import SIRSTDataset, SyntheticSIRSTDataset
from madnet.datasets.seeding import seeded

IDS = [f'{i}' for i in range(6)]

PIPELINE = [
    {'type': 'LoadSIRSTImage', 'channels': 1},
    {'type': 'LoadSIRSTMask'},
    {'type': 'RandomTargetCrop', 'size': 24},
    {'type': 'RandomFlip', 'prob': 0.5},
    {'type': 'RandomRot90'},
    {'type': 'GainOffsetJitter'},
    {'type': 'RandomNoise', 'prob': 1.0},
    {'type': 'PackSIRSTInputs'},
]


class TorchAndPython:
    """A foreign transform that draws from the other two generators."""

    def __call__(self, results):
        results['img'] = (
            results['img'] + np.uint8(random.randrange(3)) + np.uint8(torch.randint(3, ()).item())
        )
        return results


def first(batch):
    return batch[0]


def epochs(dataset, n=3, workers=0, persistent=False, context=None):
    """The images of some epochs, by (epoch, index)."""
    loader = DataLoader(
        dataset,
        num_workers=workers,
        persistent_workers=persistent,
        collate_fn=first,
        shuffle=True,
        multiprocessing_context=context,
    )
    seen = {}
    for epoch in range(n):
        dataset.set_epoch(epoch)
        for sample in loader:
            seen[epoch, sample['data_samples'].sample_idx] = sample['inputs'].numpy().copy()
    return seen


@pytest.fixture
def dataset(make_set):
    root = make_set('mine', IDS)
    return SIRSTDataset(root, 'all', pipeline=[*PIPELINE[:-1], TorchAndPython(), PIPELINE[-1]], seed=5)


def test_any_number_of_workers_gives_the_same(dataset):
    reference = epochs(dataset)
    assert len(reference) == 3 * len(IDS)
    for workers, persistent in ((1, True), (2, False), (2, True)):
        seen = epochs(dataset, workers=workers, persistent=persistent)
        assert seen.keys() == reference.keys()
        for key, img in reference.items():
            np.testing.assert_array_equal(seen[key], img, err_msg=f'{key} {workers} {persistent}')


def test_no_epoch_and_no_image_repeats(dataset):
    seen = epochs(dataset, n=6, workers=2)
    assert len({img.tobytes() for img in seen.values()}) == len(seen)


def test_other_programs_loops_which_tell_no_epoch_see_new_draws_in_each_pass(dataset):
    passes = {}
    for workers in (0, 2):
        fresh = SIRSTDataset(dataset.data_root, 'all', pipeline=dataset.pipeline.transforms, seed=5)
        loader = DataLoader(fresh, num_workers=workers, collate_fn=first)
        seen = passes[workers] = [[s['inputs'].numpy().tobytes() for s in loader] for _ in range(3)]
        assert len({image for each in seen for image in each}) == 3 * len(IDS)
    assert passes[0] == passes[2]
    dataset.set_epoch(0)
    assert [dataset[k]['inputs'].numpy().tobytes() for k in range(len(IDS))] == passes[0][0]


def test_sizes_that_take_turns_stay_alike_within_a_batch_where_no_epoch_is_told(dataset):
    steps = [*PIPELINE[:2], {'type': 'RandomTargetCrop', 'size': [16, 24]}, PIPELINE[-1]]
    fresh = SIRSTDataset(dataset.data_root, 'all', pipeline=steps, seed=5)
    loader = DataLoader(fresh, 2, shuffle=True, drop_last=True, collate_fn=list)
    sizes = {sample['inputs'].shape[-1] for _ in range(3) for batch in loader for sample in batch}
    assert sizes == {16}


def test_repeats_within_an_epoch_are_drawn_each_for_itself(dataset):
    repeated = DATASETS.build({'type': 'RepeatDataset', 'times': 3, 'dataset': dataset})
    dataset.set_epoch(1)
    seen = [
        [s['inputs'].numpy().tobytes() for s in map(repeated.__getitem__, range(len(repeated)))]
        for _ in range(2)
    ]
    assert seen[0] == seen[1]
    assert len(set(seen[0])) == 3 * len(IDS)
    inner = {'type': 'RepeatDataset', 'times': 3, 'dataset': dataset}
    with DefaultScope.overwrite_default_scope('mmseg'):
        twice = DATASETS.build({'type': 'RepeatDataset', 'times': 2, 'dataset': inner})
    assert len({twice[k]['inputs'].numpy().tobytes() for k in range(len(twice))}) == 6 * len(IDS)
    dataset.repeat = 0
    assert [dataset[k]['inputs'].numpy().tobytes() for k in range(len(IDS))] == seen[0][: len(IDS)]


def test_seed_matters_and_may_be_set_later(dataset):
    dataset.set_epoch(0)
    before = dataset[2]['inputs']
    dataset.seed = 6
    assert not torch.equal(dataset[2]['inputs'], before)
    dataset.seed = 5
    assert torch.equal(dataset[2]['inputs'], before)
    assert torch.equal(dataset[2 - len(IDS)]['inputs'], before)


def test_the_processs_own_generators_are_untouched(dataset):
    def state():
        return np.random.get_state()[1].tolist(), random.getstate(), torch.get_rng_state().tolist()

    np.random.seed(1)
    np.random.normal()  # leaves a second normal number cached
    before = state()
    expected = np.random.RandomState(1)
    expected.normal()
    dataset[0]
    assert state() == before
    assert np.random.normal() == expected.normal()


def test_the_generators_come_back_after_an_error():
    before = torch.get_rng_state(), random.getstate()

    def fail():
        with seeded(1):
            torch.rand(())
            random.random()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]


def test_neighbouring_keys_are_independent():
    def draw(*key):
        with seeded(*key):
            return np.random.rand(), random.random(), torch.rand(()).item()

    keys = [(s, e, i) for s in range(5) for e in range(5) for i in range(5)]
    for values in zip(*(draw(*k) for k in keys), strict=True):
        assert len(set(values)) == len(keys)
        assert 0.4 < np.mean(values) < 0.6


@pytest.mark.slow
def test_epoch_reaches_spawned_workers():
    """Where processes are spawned, not forked, the shared epoch travels with the pickled dataset."""
    dataset = SyntheticSIRSTDataset(2, size=48, split='train', pipeline=PIPELINE)
    if 'spawn' not in multiprocessing.get_all_start_methods():
        pytest.skip('no spawn here')
    reference = epochs(dataset, n=2)
    seen = epochs(dataset, n=2, workers=1, persistent=True, context='spawn')
    for key, img in reference.items():
        np.testing.assert_array_equal(seen[key], img)
    assert not np.array_equal(seen[0, 0], seen[1, 0])
