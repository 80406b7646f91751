"""The benchmark of training steps: that both do what they are said to do, and the tool's report."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook

from madnet.benchmarks import train
from madnet.engine.runner import build_runner
from madnet.engine.train import training_config
from madnet.errors import UserError

SMALL = {
    'selection': 'last',
    'model.backbone.base_channels': 2,
    'train_dataloader.batch_size': 2,
    'train_dataloader.dataset.length': 8,
    'train_cfg.max_epochs': 1,
}


@pytest.fixture
def small(tmp_path):
    """The config of a small training on synthetic scenes, in a folder of its own at each call."""

    def config(name):
        return training_config('configs/madnet_synthetic.py', str(tmp_path / name), options=SMALL)

    return config


class Losses(Hook):
    """Keeps the loss of every step."""

    def __init__(self):
        self.found = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.found.append(outputs['loss'].item())


def test_our_step_is_that_of_a_training(small):
    trained, stepped = Losses(), Losses()
    runner = build_runner(small('trained'))
    runner.register_hook(trained)
    runner.train()
    ours = train.OurStep(small('stepped'))
    ours.runner.register_hook(stepped)
    ours.time(3)
    assert set(ours.time_parts()) == set(train.PARTS)
    assert len(trained.found) == 4
    np.testing.assert_allclose(stepped.found, trained.found, rtol=1e-6)


class Replayed(train.Step):
    """A step whose forward and backward pass nobody sees."""

    def __init__(self):
        self.device = torch.device('cpu')

    def run(self):
        self.mark('data')
        self.mark('optimiser')


def test_a_captured_step_has_no_parts(capsys):
    report = train._measure({'ours': Replayed(), 'published': Replayed()}, steps=1, repeats=2)
    parts = report['ours']['parts']
    assert parts['forward'] is None
    assert parts['optimiser'] >= 0
    for form in ('ours', 'published'):
        report[form]['images_per_second'] = 1.0
    train._print(report)
    assert '–' in capsys.readouterr().out


def test_the_plain_step_trains(small):
    step = train.PlainStep(small('plain'))
    before = [p.detach().clone() for p in step.model.parameters()]
    inputs = next(step.batches)['inputs']
    assert [tuple(each.shape) for each in inputs] == [(1, 128, 128)] * 2
    assert set(step.time_parts()) == set(train.PARTS)
    assert 0 < step.total < 6
    assert any(not torch.equal(a, b) for a, b in zip(before, step.model.parameters(), strict=True))


def test_the_tool(tmp_path, repository):
    """At width 2, on synthetic scenes, so that it needs no data and no time."""
    options = [f'{key}={value}' for key, value in SMALL.items()]
    command = [
        sys.executable, 'tools/benchmark.py', 'train', '--config', 'configs/madnet_synthetic.py',
        '--cfg-options', *options, '--steps', '1', '--repeats', '2', '--json', str(tmp_path / 'out.json'),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / 'out.json').read_text())
    for key in ('ours', 'published'):
        found = report[key]
        assert len(found['wall']) == len(found['cpu']) == 2
        assert set(found['parts']) == set(train.PARTS)
        assert all(seconds > 0 for seconds in [*found['wall'], *found['parts'].values()])
        assert found['images_per_second'] > 0
    assert report['ratio']['median'] > 0
    assert 'published form' in done.stdout


def test_fewer_images_than_a_batch():
    with pytest.raises(UserError, match='no whole batch'):
        train.benchmark(
            'configs/madnet_synthetic.py', cfg_options={**SMALL, 'train_dataloader.batch_size': 9}
        )
