"""Frames without targets, and the table of leaving one set out, from records."""

import importlib.util
import sys
from itertools import product
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from torch import nn

from madnet.datasets import SIRSTDataset
from madnet.datasets.sources import find_sources, set_name
from madnet.errors import UserError
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


def test_found_masks_make_a_set_to_train_on_alone(repository, make_set, tmp_path):
    module = load(repository, 'unlabelled')
    ids = ['a', 'b', 'c']
    root = make_set('given', ids, lists={'train.txt': ids[:2], 'test.txt': ids[2:]})
    given = SIRSTDataset(split='trainval', data_root=str(root))
    finds = Mock(side_effect=lambda image: Mock(mask=image > 200))
    module.write_masks(given, finds, tmp_path / 'found')
    [found] = find_sources(str(tmp_path / 'found'))
    made = SIRSTDataset(split='trainval', **found.arguments)
    assert made.image_ids == given.image_ids == ids[:2]
    for index in range(2):
        image, mask = made.read_sample(index)
        np.testing.assert_array_equal(image, given.read_sample(index)[0])
        np.testing.assert_array_equal(mask > 0, image > 200)
    with pytest.raises(UserError):
        SIRSTDataset(split='test', **found.arguments)


def test_a_share_of_a_networks_statistics_is_that_of_the_images(repository, make_set, tmp_path, monkeypatch):
    module = load(repository, 'unlabelled')
    given = SIRSTDataset(
        split='trainval', data_root=str(make_set('given', ['a', 'b'], lists={'train.txt': ['a', 'b']}))
    )
    net = nn.Sequential(nn.BatchNorm2d(1)).eval()
    torch.save({'state_dict': net.state_dict()}, tmp_path / 'w.pth')

    def predictor(*_):
        return Mock(
            model=net, side_effect=lambda image: net(torch.tensor(image[None, None], dtype=torch.float32))
        )

    monkeypatch.setattr(module, 'Predictor', predictor)
    module.write_statistics(given, 'config', str(tmp_path / 'w.pth'), 0.25, str(tmp_path / 'out.pth'))
    images = np.stack([given.read_sample(k)[0] for k in range(2)]).astype(float)
    state = torch.load(tmp_path / 'out.pth', weights_only=True)['state_dict']
    assert state['0.running_mean'].item() == pytest.approx(0.25 * images.mean(), rel=1e-5)
    assert state['0.running_var'].item() == pytest.approx(0.75 + 0.25 * images.var(), rel=1e-5)
