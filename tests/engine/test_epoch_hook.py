"""The epoch reaches modules and data sets, also where a run goes on in the middle."""

import os
import signal
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop
from mmseg.registry import DATASETS, HOOKS, MODELS

import madnet  # noqa: F401
from madnet.datasets import SyntheticSIRSTDataset
from madnet.datasets.wrappers import inner_datasets, kind_of, sets_of, validation_split
from madnet.engine.bare_model import bare
from madnet.engine.hooks import EpochHook
from madnet.engine.train import train
from madnet.engine.training_stopped import TrainingStopped
from madnet.models.losses import SoftIoULoss

SEEN = []


@MODELS.register_module()
class LossThatKnowsTheEpoch(SoftIoULoss):
    """Changes with the epoch, so that weights show whether it was the right one."""

    epochs = (None, None)

    def set_epoch(self, epoch, max_epochs):
        self.epochs = (epoch, max_epochs)

    def compute(self, *args, **kwargs):
        return (1 + self.epochs[0]) * super().compute(*args, **kwargs)


@DATASETS.register_module()
class DatasetThatSaysTheEpoch(SyntheticSIRSTDataset):
    """Each sample says the epoch from which it was drawn, from inside its worker process."""

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        sample['data_samples'].set_metainfo({'epoch': self.epoch})
        return sample


@HOOKS.register_module()
class Observer(Hook):
    """Keeps what holds at each batch, and asks the process to stop after some of them."""

    def __init__(self, stop_after=None, stage='train'):
        self.left, self.stage = stop_after, stage

    def _see(self, runner, stage, epoch_of_data):
        loss = bare(runner.model).decode_head.loss_decode
        SEEN.append((stage, *loss.epochs, epoch_of_data))
        if stage == self.stage and self.left is not None:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGTERM)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        epochs = {sample.epoch for sample in data_batch['data_samples']}
        self._see(runner, 'train', epochs.pop() if len(epochs) == 1 else epochs)

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self._see(runner, 'val', None)


MORE = """
model = dict(decode_head=dict(loss_decode=dict(_delete_=True, type='LossThatKnowsTheEpoch')))
train_dataloader = dict(
    num_workers=1,
    persistent_workers=True,
    dataset=dict(
        _delete_=True,
        type='RepeatDataset',
        times=1,
        dataset=dict(
            type='DatasetThatSaysTheEpoch', split='train', length=8, size=64, pipeline=_base_.train_pipeline
        ),
    ),
)
"""


EXPECTED = [
    line for epoch in range(3) for line in [('train', epoch, 3, epoch)] * 2 + [('val', epoch, 3, None)] * 4
]


def _config(folder, tiny_text, name, **observer):
    (folder / 'tiny.py').write_text(tiny_text)
    path = folder / f'{name}.py'
    hooks = [{'type': 'Observer', **observer}]
    path.write_text(f"_base_ = ['tiny.py']\n{MORE}\ncustom_hooks = {hooks}\n")
    return str(path)


@pytest.fixture(scope='module')
def whole_run(tmp_path_factory, tiny_text):
    folder = tmp_path_factory.mktemp('whole')
    SEEN.clear()
    runner = train(_config(folder, tiny_text, 'whole'), work_dir=str(folder / 'run'))
    assert SEEN == EXPECTED
    return bare(runner.model).state_dict()


# two batches an epoch, four images a validation
@pytest.mark.parametrize(('stage', 'stop_after'), [('train', 3), ('val', 6)])
def test_loss_and_persistent_workers_see_the_epoch_in_a_resumed_run_too(
    whole_run, tmp_path, tiny_text, stage, stop_after
):
    SEEN.clear()
    with pytest.raises(TrainingStopped):
        train(
            _config(tmp_path, tiny_text, 'stopped', stop_after=stop_after, stage=stage),
            work_dir=str(tmp_path / 'run'),
        )
    before = len(SEEN)
    runner = train(_config(tmp_path, tiny_text, 'resumed'), work_dir=str(tmp_path / 'run'), resume=True)
    repeated = 2 if stage == 'val' else 0  # a validation that was stopped begins again
    assert SEEN[:before] == EXPECTED[:before]
    assert SEEN[before:] == EXPECTED[before - repeated :]
    state = bare(runner.model).state_dict()
    assert all(torch.equal(state[key], whole_run[key]) for key in state)


def test_every_module_and_data_set_that_asks_is_told():
    class Module(torch.nn.Module):
        def set_epoch(self, *epochs):
            self.epochs = epochs

    class Data:
        def set_epoch(self, *epochs):
            self.epochs = epochs

    class Wrapper:
        def __init__(self, *datasets):
            self.datasets = datasets

    class Runner:
        model = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Sequential(Module()), Module())
        train_loop, seed, epoch, max_epochs = object(), 5, 2, 9
        train_dataloader = SimpleNamespace(dataset=None)

    first, second, silent = Data(), Data(), object()
    Runner.train_dataloader.dataset = Wrapper(Wrapper(first), silent, second)
    hook = EpochHook()
    hook.before_train(Runner)
    told = [Runner.model[1][0], Runner.model[2], first, second]
    assert [each.epochs for each in told] == [(2, 9)] * 4
    assert (first.seed, second.seed) == (5, 5 + 1_000_003)
    Runner.epoch = 3
    hook.before_train_epoch(Runner)
    assert [each.epochs for each in told] == [(3, 9)] * 4


def test_a_loop_that_counts_iterations_tells_modules_of_each_pass_and_data_sets_of_none():
    class Told(torch.nn.Module):
        def set_epoch(self, *epochs):
            self.epochs = epochs

    class Loader(list):
        dataset, sampler = Told(), None

    class Runner:
        model, seed, epoch, max_epochs, max_iters, iter = Told(), 5, 0, 1, 10, 0
        train_loop = object.__new__(IterBasedTrainLoop)
        train_dataloader = Loader(range(4))

    hook = EpochHook()
    hook.before_train(Runner)
    seen = []
    for Runner.iter in range(10):
        hook.before_train_iter(Runner, Runner.iter)
        seen.append(Runner.model.epochs)
    assert seen == [(0, 3)] * 4 + [(1, 3)] * 4 + [(2, 3)] * 2
    assert not hasattr(Runner.train_dataloader.dataset, 'epochs')
    Runner.train_dataloader.clear()  # an endless sampler of fewer images than a batch
    hook.before_train_iter(Runner, 9)
    assert Runner.model.epochs == (9, 10)


def test_inner_data_sets_of_configs():
    a, b = {'type': 'A'}, {'type': 'B'}
    both = {'type': 'ConcatDataset', 'datasets': [a, {'type': 'RepeatDataset', 'dataset': b}]}
    assert inner_datasets(both) == [a, b]
    assert inner_datasets(a) == [a]
    cfg = {'test_dataloader': {'dataset': both}, 'val_dataloader': None}
    assert [sets_of(cfg, f'{part}_dataloader') for part in ('test', 'val', 'train')] == [[a, b], [], []]
    parts = [{'split': 'val'}, SimpleNamespace(split=['x', 1]), {}]
    assert validation_split(parts) == "['x', 1]"
    assert validation_split([*parts, {'split': 'test'}]) == 'test'
    assert validation_split([{}]) == 'validation'
    assert [*map(kind_of, ({'type': 'mmseg.A'}, a, {'type': dict}, {}))] == ['A', 'A', 'dict', '']
