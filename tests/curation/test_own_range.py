"""The grey values that a set's ``dataset.json`` says are black and white: copies keep, commands take them."""

import json

import cv2
import numpy as np
import pytest
from mmengine.config import Config

from madnet.datasets import SIRSTDataset
from madnet.images import measure_range, notices, read_image
from madnet.records import MetricsFile

LOAD = [{'type': 'LoadSIRSTImage', 'channels': 1}, {'type': 'LoadSIRSTMask'}]


@pytest.fixture(autouse=True)
def said(monkeypatch):
    monkeypatch.setattr(notices, '_said', set())


@pytest.fixture
def prepared(camera_place, run):
    """The page's set, prepared with a measured range; what was printed."""
    words = ('--out', 'datasets/mine', '--value-range', 'auto')
    code, out, err = run('dataset', 'prepare', 'my_camera', 'mine', *words)
    assert code == 0, err
    return camera_place / 'datasets/mine', out


def recorded(folder):
    return json.loads((folder / 'dataset.json').read_text()).get('value_range')


def test_auto_is_measured_on_training_images(prepared):
    folder, out = prepared
    training = SIRSTDataset(folder, 'trainval', value_range=(0, 65535))
    paths = [training.get_data_info(i)['img_path'] for i in range(len(training))]
    expected = measure_range(map(read_image, paths))
    assert recorded(folder) == pytest.approx(expected)
    assert f'grey values {expected[0]:g} to {expected[1]:g} are black to white' in out
    test = SIRSTDataset(folder, 'test', value_range=(0, 65535)).get_data_info(0)['img_path']
    cv2.imwrite(test, np.full((64, 64), 60000, np.uint16))  # brighter than any in training
    measured = SIRSTDataset(folder, 'test', value_range='auto').value_range
    assert measured == pytest.approx(expected)


def test_what_is_given_goes_before_it(prepared):
    folder, _ = prepared
    own = tuple(recorded(folder))
    assert SIRSTDataset(folder, 'test').value_range == own
    assert SIRSTDataset(folder, 'test', value_range=(0, 16383)).value_range == (0, 16383)
    loader = [{**LOAD[0], 'value_range': (19000, 23000)}, LOAD[1]]
    assert SIRSTDataset(folder, 'test', pipeline=loader).value_range == (19000, 23000)
    image = SIRSTDataset(folder, 'test', pipeline=LOAD)[0]['img']
    same = SIRSTDataset(folder, 'test', pipeline=LOAD, value_range=own)[0]['img']
    np.testing.assert_array_equal(image, same)
    assert np.ptp(image) > 100


@pytest.mark.parametrize('by', ['folder', 'name'])
def test_a_training_writes_it_down(prepared, run, monkeypatch, by):
    folder, _ = prepared
    name = str(folder) if by == 'folder' else 'mine'
    monkeypatch.chdir('frames')  # where no folder is called so
    monkeypatch.setenv('MADNET_DATA_ROOT', str(folder.parent))
    for words, expected in (
        ((), recorded(folder)),
        (('--value-range', '19000', '23000'), [19000, 23000]),
        (('--cfg-options', 'replace_steps.LoadSIRSTImage.value_range=[19500,23500]'), None),
    ):
        code, out, err = run('train', 'madnet_nano', '--dataset', name, *words, '--print-config')
        assert code == 0, err
        cfg = Config.fromstring(out, '.py')
        for part in ('train', 'val', 'test'):
            found = cfg[f'{part}_dataloader'].dataset.get('value_range')
            assert (found and list(found)) == expected


def test_tests_of_shipped_weights_and_classical_methods_take_it(prepared, run):
    for model in (('classical', '--method', 'tophat'), ('madnet_nano',)):
        scores = []
        for words in ((), ('--value-range', *recorded(prepared[0])), ('--value-range', 0, 65535)):
            code, _, err = run('test', *model, '--dataset', 'datasets/mine', *words, '--out', 'tested')
            assert code == 0, err
            scores.append(MetricsFile.read('tested/metrics.json').results['native'])
        assert scores[0] == scores[1]
        assert scores[0]['Pd'] == 1
    assert scores[0] != scores[2]


def test_copies_keep_it(prepared, run, camera_place):
    folder, _ = prepared
    for command in (
        ('prepare', 'again', folder, '--out', 'copied'),
        ('check', folder, '--fix', 'copied'),
        ('convert', folder, '--to', 'coco', '--out', 'copied'),
    ):
        notices._said.clear()
        code, _, err = run('dataset', *command)
        assert code == 0, err
        assert recorded(camera_place / 'copied') == recorded(folder)
        (camera_place / 'copied').rename(camera_place / command[0])
    code, _, err = run('dataset', 'convert', 'convert', '--to', 'madnet', '--out', 'back')
    assert code == 0, err
    assert recorded(camera_place / 'back') == recorded(folder)
    code, _, err = run('dataset', 'prepare', 'b', folder, '--out', 'other', '--value-range', '0', '16383')
    assert code == 0, err
    assert recorded(camera_place / 'other') == [0, 16383]


def test_sets_without_one_are_read_by_their_type(camera_place, run):
    assert run('dataset', 'prepare', 'my_camera', 'mine', '--out', 'plain')[0] == 0
    assert recorded(camera_place / 'plain') is None
    assert SIRSTDataset(camera_place / 'plain', 'test').value_range is None


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('{"value_range": [5, 1]}', 'value_range: found (5.0, 1.0), expected (low, high) with low < high'),
        ('{"value_range": "wide"}', "value_range: found 'wide'"),
        ('{"value_range": [1, 2', 'not readable as JSON'),
    ],
)
def test_a_range_that_is_none_is_one_line(prepared, run, text, said):
    (prepared[0] / 'dataset.json').write_text(text)
    for command in (
        ('train', 'madnet_nano', '--dataset', 'datasets/mine'),
        ('test', 'classical', '--method', 'tophat', '--dataset', 'datasets/mine'),
        ('dataset', 'stats', 'datasets/mine'),
        ('dataset', 'check', 'datasets/mine'),
    ):
        code, _, err = run(*command)
        assert code == 2
        assert 'datasets/mine/dataset.json' in err
        assert said in err
        assert len(err.strip().splitlines()) == 1
