"""Frames without targets, and the table of leaving one set out, from records."""

import importlib.util
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from madnet.datasets.sources import find_sources, set_name
from madnet.experiments.plan import read_plan
from madnet.records import MetricsFile, RunFile


def load(repository, name):
    spec = importlib.util.spec_from_file_location(
        name, repository / 'experiments' / 'generalise' / f'{name}.py'
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and patches look there
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize('shape', [(100, 120), (101, 131)])
def test_quarters_keep_off_targets(repository, shape):
    module = load(repository, 'target_free')
    rng = np.random.default_rng(0)
    for _ in range(30):
        mask = np.zeros(shape, np.uint8)
        ys, xs = rng.integers(0, shape[0], 2), rng.integers(0, shape[1], 2)
        mask[ys, xs] = 255
        found = module.quarters(mask)
        h, w = shape[0] // 2, shape[1] // 2
        wanted = []
        for top, left in product((0, shape[0] - h), (0, shape[1] - w)):
            # Chebyshev's distance from the quarter to each target
            away = [
                max(top - y, y - (top + h - 1), left - x, x - (left + w - 1), 0)
                for y, x in zip(ys, xs, strict=True)
            ]
            if min(away) > module.MARGIN:
                wanted.append(np.s_[top : top + h, left : left + w])
        assert found == wanted


def record(run, iou, false_per_image):
    """What a test of a run with an IoU would leave."""
    numbers = {'IoU': iou, 'nIoU': iou + 0.1, 'Pd': 0.9, 'Fa': 2e-5, 'false_per_image': false_per_image}
    sets = {
        name: {'results': {'native': numbers}, 'dataset': {'name': name, 'split': 'test'}}
        for name in [set_name(source.arguments) for source in find_sources(run.test_on)]
    }
    content = {
        'results': {'native': numbers},
        'sets': sets,
        'views': 1,
        'dataset': {'name': ' + '.join(sets)},
    }
    folder = Path(run.folder)
    MetricsFile.from_json(content).write(folder / 'metrics.json')
    RunFile(run.wanted(), trained=True, minutes=4.0, state='done').write(folder / 'run.json')


def test_the_table_is_of_the_records(repository, tmp_path, monkeypatch):
    (tmp_path / 'experiments').symlink_to(repository / 'experiments')
    (tmp_path / 'configs').symlink_to(repository / 'configs')
    monkeypatch.chdir(tmp_path)
    for short in ('nuaa', 'nudt', 'irstd1k'):
        Path(f'work_dirs/generalise/target_free/{short}_target_free').mkdir(parents=True)
    runs = {
        (r.network, Path(r.folder).parts[-2]): r for r in read_plan('experiments/generalise/plan.yaml').runs()
    }
    for k, short in enumerate(('nuaa', 'nudt', 'irstd1k')):
        record(runs['baseline', short], 0.3 + 0.1 * k, 2.0 + k)
        record(runs['zoom', short], 0.32 + 0.1 * k, 1.0)
    record(runs['defects', 'nuaa'], 0.5, 0.0)
    lines = load(repository, 'table').table('work_dirs/generalise').splitlines()
    cells = {line.split('|')[1].strip(): [c.strip() for c in line.split('|')[2:-1]] for line in lines}
    assert cells['the common recipe'] == [
        '1', '30.0 / 40.0', '40.0 / 50.0', '50.0 / 60.0', '40.0 / 50.0', '–', '90.0', '20', '30.0 / 40.0',
        '3.00',
    ]  # fmt: skip
    assert cells['crops zoomed by 0.5 to 2'][4:6] == ['42.0 / 52.0', '+2.0 / +2.0']
    assert cells['crops zoomed by 0.5 to 2'][-1] == '1.00'
    assert cells['bad pixels, dead lines and specks'][0] == '1 of 3 sets'
