from unittest.mock import Mock

import cv2
import numpy as np
import pytest

from madnet.benchmarks import evaluation
from madnet.benchmarks.evaluation import benchmark, load_pairs, ours, per_threshold, theirs
from madnet.errors import UserError
from madnet.evaluation import Evaluator, make_protocol

from . import plain


@pytest.fixture
def dataset(tmp_path):
    rng = np.random.default_rng(0)
    for name in ('images', 'masks'):
        (tmp_path / name).mkdir()
    for k in range(4):
        prob, mask = plain.scene(rng, size=(64, 64))
        cv2.imwrite(str(tmp_path / 'images' / f'{k}.png'), (prob * 200).astype(np.uint8))
        cv2.imwrite(str(tmp_path / 'masks' / f'{k}.png'), mask)
    return tmp_path


def test_what_is_timed_computes_the_same(dataset):
    pairs = load_pairs(str(dataset), 4, 64)
    evaluator = Evaluator(make_protocol('native', name='greedy', matching='greedy'))
    for logits, mask in pairs:
        evaluator.update(logits, mask, from_logits=True)
    loop, curve = per_threshold(pairs), evaluator.details(resamples=0)['greedy']['pd_fa']
    assert loop['Pd'] == pytest.approx(curve['Pd'])
    assert loop['Fa'] == pytest.approx(curve['Fa'])
    assert loop['iou'][curve['threshold'].index(0.5)] == pytest.approx(ours(pairs)['IoU'])
    package = theirs(pairs)
    if package is not None:
        assert package['IoU'] == pytest.approx(ours(pairs)['IoU'])


def test_the_report(dataset, capsys):
    report = benchmark(str(dataset), images=6, size=48, slow_images=2)
    assert report['images'] == 6
    assert report['speed_up_over']['loop over thresholds'] > 0
    assert 'loop over' in capsys.readouterr().out


def test_a_package_that_fails_is_left_out(dataset, capsys, monkeypatch):
    monkeypatch.setattr(evaluation, 'theirs', Mock(side_effect=UnboundLocalError('no target')))
    report = benchmark(str(dataset), images=1, size=1, slow_images=1)
    assert 'pyirstdmetrics is left out, for it fails on these pairs: ' in capsys.readouterr().out
    assert report['ms_per_image'].keys() == {'native', 'loop over thresholds', 'native without curves'}


def test_no_data(tmp_path):
    with pytest.raises(UserError):
        load_pairs(str(tmp_path), 4, 64)
