"""Detectors without training on the command line: tested without a checkpoint, measured in a table."""

import csv
import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmseg.registry import MODELS

from madnet.classical import DETECTORS, get_detector, get_rule
from madnet.datasets.catalogue import get_entry
from madnet.engine.config import load_config
from madnet.engine.runner import MadnetRunner
from madnet.evaluation import evaluate
from madnet.models import ClassicalDetector


@pytest.fixture
def image_set(tmp_path, repository):
    """(config, root) of six small images, each with a target, of two sizes."""
    root, rng = tmp_path / 'my-set', np.random.default_rng(0)
    for part in ('trainval', 'test'):
        for kind in ('images', 'masks'):
            (root / part / kind).mkdir(parents=True)
        for i in range(6):
            size = (60, 80) if i % 2 else (70, 50)
            image = (90 + rng.normal(0, 3, size)).clip(0, 255)
            mask = np.zeros(size, np.uint8)
            y, x = rng.integers(8, 40, 2)
            image[y : y + 3, x : x + 3] = 150 + 10 * i
            mask[y : y + 3, x : x + 3] = 255
            cv2.imwrite(str(root / part / 'images' / f'{part[0]}{i}.png'), image.astype(np.uint8))
            cv2.imwrite(str(root / part / 'masks' / f'{part[0]}{i}.png'), mask)
    config = tmp_path / 'mine.py'
    config.write_text(f"_base_ = '{repository}/configs/classical/classical.py'\ndataset = '{root}'\n")
    return config, root


def _pairs(root):
    for path in sorted((root / 'test' / 'images').iterdir()):
        mask = cv2.imread(str(root / 'test' / 'masks' / path.name), cv2.IMREAD_GRAYSCALE)
        yield cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), mask


def test_without_a_checkpoint(run, image_set, tmp_path):
    config, root = image_set
    out = tmp_path / 'out'
    options = ('--protocol', 'all', '--cfg-options', 'base_size=64')
    code, printed, err = run(
        'test', config, *options, '--out', out, '--show-dir', tmp_path / 'show', '--save-scores'
    )
    assert code == 0, err
    assert 'S > mean + 12·std (rule mean+12std)' in printed
    report = json.loads((out / 'metrics.json').read_text())
    assert report['checkpoint'] is None
    assert report['detector']['method'] == 'tophat'
    images, masks = zip(*_pairs(root), strict=True)
    scores = [get_rule().to_unit(get_detector('tophat')(image)) for image in images]
    expected = evaluate(scores, masks)
    assert expected['IoU'] > 0.5
    for metric in ('IoU', 'nIoU', 'F1', 'Pd', 'Fa', 'AUC'):
        assert report['results']['native'][metric] == pytest.approx(expected[metric], rel=1e-12)
    assert len(list((tmp_path / 'show').iterdir())) == len(list((out / 'scores').iterdir())) == 6


def test_several_processes_give_the_same_table(run, image_set, tmp_path):
    config, _ = image_set
    tables = []
    for workers in (1, 2):
        out = tmp_path / str(workers)
        code, _, err = run('test', config, '--workers', workers, '--out', out)
        assert code == 0, err
        tables.append((out / 'per_image.csv').read_text())
    assert tables[0] == tables[1]
    assert len(list(csv.DictReader(tables[0].splitlines()))) == 6


def test_a_detector_needs_no_distributed_wrapper():
    # torch refuses to wrap a model without weights, which would stop --launcher
    model = ClassicalDetector('tophat')
    assert MadnetRunner.wrap_model(SimpleNamespace(cfg={}, distributed=True), None, model) is model


def test_rule_and_parameters_by_options(run, image_set, tmp_path):
    config, _ = image_set
    options = ['--cfg-options', 'model.rule=minmax0.5', 'model.params.size=7']
    code, printed, err = run('test', config, '--out', tmp_path / 'out', *options)
    assert code == 0, err
    assert 'rule minmax0.5' in printed
    assert 'size=7' in printed


def test_without_out_results_go_to_the_work_folder(run, image_set, tmp_path, monkeypatch):
    config, _ = image_set
    monkeypatch.chdir(tmp_path)
    assert run('test', config)[0] == 0
    assert (tmp_path / 'work_dirs' / 'tophat_my-set' / 'metrics.json').is_file()


def test_one_line_for_a_checkpoint_too_many_or_too_few(run, image_set, tiny_config, tmp_path):
    config, _ = image_set
    weights = tmp_path / 'weights.pth'
    torch.save({'state_dict': {}}, weights)
    for args, told in (
        ((config, weights), 'a classical detector has no weights'),
        ((tiny_config,), 'give the checkpoint'),
        ((tiny_config, weights, '--workers', 2), 'is for classical detectors'),
        ((config, '--workers', 0), 'expected 1 or more'),
        ((config, '--cfg-options', 'model.method=top_hat'), "Did you mean 'tophat'"),
        ((config, '--cfg-options', 'model.rule=otsu'), 'unknown threshold rule'),
    ):
        code, _, err = run('test', *args, '--out', tmp_path / 'out')
        assert code == 2, args
        assert told in err
        assert len(err.strip().splitlines()) == 1


def test_training_one_is_refused_in_one_line(run, image_set):
    code, _, err = run('train', image_set[0])
    assert code == 2
    assert 'nothing to train' in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize('method', DETECTORS)
def test_the_shipped_config_takes_every_detector_and_data_set(repository, method):
    for dataset in ('nuaa', 'nudt', 'irstd1k', 'sirstaug'):
        cfg = load_config(
            repository / 'configs/classical/classical.py', {'model.method': method}, dataset=dataset
        )
        assert cfg.test_dataloader.dataset.name == get_entry(dataset).name
        model = MODELS.build(cfg.model)
        assert (model.detector.name, model.rule.name) == (method, 'mean+12std')


def test_the_benchmark(run, image_set, tmp_path):
    data = ['--data', image_set[1], '--images', 3, '--json', tmp_path / 'out.json']
    code, printed, err = run('benchmark', 'classical', *data, '--methods', 'tophat', 'ipi')
    assert code == 0, err
    assert 'Top-hat 5×5' in printed
    report = json.loads((tmp_path / 'out.json').read_text())
    assert (report['data']['name'], report['images']) == ('my-set', 3)
    assert report['seconds']['ipi']['median'] > report['seconds']['tophat']['median'] > 0
    code, _, err = run('benchmark', 'classical', *data, '--methods', 'tophatt')
    assert code == 2
    assert "Did you mean 'tophat'" in err
