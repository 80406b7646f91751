"""The grey values that a set's ``dataset.json`` says are black and white: copies keep, commands take them."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config

from madnet.config_files import find_config_file
from madnet.datasets import SIRSTDataset
from madnet.datasets.image_pipeline import ImagePipeline
from madnet.datasets.locate import own_range
from madnet.engine.config import load_config
from madnet.errors import UserError
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


def test_auto_works_for_all_parts_and_for_a_test_part_alone(prepared, run):
    folder, _ = prepared
    expected = pytest.approx(recorded(folder))
    assert SIRSTDataset(folder, 'all', value_range='auto').value_range == expected
    code, _, err = run('dataset', 'stats', folder, '--split', 'all', '--value-range', 'auto', '--out', 'a')
    assert code == 0, err
    training = SIRSTDataset(folder, 'trainval', value_range=(0, 65535))
    for i in range(len(training)):
        for key in ('img_path', 'seg_map_path'):
            os.remove(training.get_data_info(i)[key])
    low, high = SIRSTDataset(folder, 'test', value_range='auto').value_range
    assert 20000 <= low < high <= 22550


def test_a_set_within_a_folder_is_read_alike_by_config_and_data_set(prepared, camera_place):
    options = {'data_root': str(camera_place / 'datasets/mine'), 'selection': 'last'}
    cfg = load_config(find_config_file('madnet_nano'), options)
    own = recorded(camera_place / 'datasets/mine')
    assert list(cfg.test_dataloader.dataset.value_range) == own
    assert own_range(camera_place / 'datasets', 'mine') == tuple(own)
    assert own_range(camera_place / 'nowhere', 'mine') is None


@pytest.fixture
def brighter(camera_place, run):
    """Another camera of which all values are 20000 higher."""
    for path in (camera_place / 'mine/images').iterdir():
        cv2.imwrite(str(path), cv2.imread(str(path), -1) + np.uint16(20000))
    words = ('--out', 'datasets/hot', '--value-range', 'auto')
    assert run('dataset', 'prepare', 'hot', 'mine', *words)[0] == 0
    return camera_place / 'datasets/hot'


def test_calibration_and_probe_read_another_camera_by_its_own_range(prepared, brighter, run):
    folder, _ = prepared
    train = ('train', 'madnet_nano_finetune', '--dataset', folder, '--cfg-options', 'train_cfg.max_epochs=1')
    code, _, err = run(*train, 'train_dataloader.batch_size=4', 'param_scheduler.0.warmup_steps=1')
    assert code == 0, err
    found = {}
    for name in (folder, brighter):
        words = ('work_dirs/madnet_nano_finetune_mine', '--dataset', name, '--split', 'trainval')
        code, _, err = run('calibrate', *words, '--out', 'calibrated')
        assert code == 0, err
        (path,) = Path('calibrated').iterdir()
        found[name] = json.loads(path.read_text())['temperature']
        path.unlink()
        code, _, err = run('probe', *words, '--quick', '--only', 'offset', '--out', 'probed')
        assert code == 0, err
        assert json.loads(Path('probed/probe.json').read_text())['material']['value_range'] == recorded(name)
    assert found[folder] == pytest.approx(found[brighter], rel=1e-3)


def test_several_ranges_are_told_where_frames_are_read(prepared, brighter, run, caplog):
    folder, _ = prepared
    code, out, err = run('train', 'madnet_nano', '--dataset', f'{folder},{brighter}', '--print-config')
    assert code == 0, err
    ImagePipeline.from_config(Config.fromstring(out, '.py'))
    assert 'several value ranges' in caplog.text


def test_sets_made_from_it_keep_it(prepared, run, camera_place, monkeypatch):
    folder, _ = prepared
    words = ('--backgrounds', folder, '--n', '2', '--scr', '8', '10', '--out', 'planted')
    code, _, err = run('dataset', 'synth', *words)
    assert code == 0, err
    assert recorded(camera_place / 'planted') == recorded(folder)
    monkeypatch.chdir('frames')
    monkeypatch.setenv('MADNET_DATA_ROOT', str(folder.parent))
    code, _, err = run('dataset', 'convert', 'mine', '--to', 'coco', '--out', 'coco')
    assert code == 0, err
    assert recorded(camera_place / 'frames/coco') == recorded(folder)
    (file,) = Path('coco').rglob('*test*.json')
    code, _, err = run('dataset', 'convert', file, '--to', 'madnet', '--out', 'back')
    assert code == 0, err
    assert recorded(camera_place / 'frames/back') == recorded(folder)


def test_a_loader_that_does_not_apply_it_is_refused(prepared):
    with pytest.raises(UserError, match='LoadImageFromFile'):
        SIRSTDataset(prepared[0], 'test', pipeline=[{'type': 'LoadImageFromFile'}])


def test_a_training_without_one_keeps_to_that_whatever_the_folder_says_later(camera_place, run):
    assert run('dataset', 'prepare', 'my_camera', 'mine', '--out', 'datasets/mine')[0] == 0
    words = ('--cfg-options', 'train_cfg.max_epochs=1', 'train_dataloader.batch_size=4')
    words = (*words, 'param_scheduler.0.warmup_steps=1')
    code, _, err = run('train', 'madnet_nano_finetune', '--dataset', 'datasets/mine', *words)
    assert code == 0, err
    trained = Config.fromfile('work_dirs/madnet_nano_finetune_mine/madnet_nano_finetune.py')
    assert trained.train_dataloader.dataset.value_range == 'type'
    tested = []
    for _ in range(2):
        code, _, err = run('test', 'work_dirs/madnet_nano_finetune_mine', '--out', 'tested')
        assert code == 0, err
        tested.append(MetricsFile.read('tested/metrics.json').results['native'])
        record = json.loads(Path('datasets/mine/dataset.json').read_text())
        Path('datasets/mine/dataset.json').write_text(json.dumps({**record, 'value_range': [20000, 22550]}))
    assert tested[0] == tested[1]
    assert SIRSTDataset('datasets/mine', 'test').value_range == (20000, 22550)
    assert SIRSTDataset('datasets/mine', 'test', value_range='type').value_range is None


def test_weights_read_as_they_were_trained_whatever_config_they_come_with(camera_place, run, caplog):
    assert run('dataset', 'prepare', 'my_camera', 'mine', '--out', 'datasets/mine')[0] == 0
    words = ('--value-range', '20000', '22550', '--cfg-options', 'train_cfg.max_epochs=1')
    words = (*words, 'train_dataloader.batch_size=4', 'param_scheduler.0.warmup_steps=1')
    assert run('train', 'madnet_nano', '--dataset', 'datasets/mine', *words)[0] == 0
    weights, found, frame = 'work_dirs/madnet_nano_mine/last.pth', {}, 'datasets/mine/images/010.png'
    for name, model in {
        'config': ('madnet_nano', weights),
        'folder': ('work_dirs/madnet_nano_mine',),
    }.items():
        data = () if name == 'folder' else ('--dataset', 'datasets/mine')
        code, _, err = run('test', *model, *data, '--out', 'tested')
        assert code == 0, err
        found[name] = MetricsFile.read('tested/metrics.json').results['native']
        given = model if len(model) == 1 else (model[0], '--checkpoint', weights)
        code, _, err = run('predict', given[0], frame, *given[1:], '--out', name, '--format', 'npy')
        assert code == 0, err
    assert found['config'] == found['folder']
    assert 'by the value range of the training, 20000 to 22550' in caplog.text
    maps = [np.load(next(Path(name).rglob('*.npy'))) for name in ('config', 'folder')]
    np.testing.assert_array_equal(*maps)
    code, _, err = run(
        *('test', 'madnet_nano', weights, '--dataset', 'datasets/mine', '--value-range', '0', '65535'),
        *('--out', 'tested'),
    )
    assert code == 0, err
    assert 'by the range 0 to 65535, the network was trained on them by the range 20000 to 22550' in err


def test_a_range_that_leaves_no_contrast_at_all_is_refused(prepared, run):
    words = ('--dataset', prepared[0], '--value-range', '0', '200')
    code, _, err = run('train', 'madnet_nano', *words)
    assert code == 2
    assert 'my_camera: read by the range 0 to 200, all training images are of one grey value, 255' in err
    assert not Path('work_dirs').exists()


@pytest.fixture
def bright_test(make_set):
    """A set whose test image is brighter than those of its training part, by lists of the name a/b."""
    ids = ['p', 'q', 'r']
    lists = {'splits/a/trainval_b.txt': ids[:2], 'splits/a/test_b.txt': ids[2:]}
    folder = make_set('deep', ids, images='images/{}.tif', lists=lists)
    for value, i in zip((100, 200, 60000), ids, strict=True):
        image = np.full((32, 40), value, np.float32)
        image[:, :20] /= 2
        cv2.imwrite(str(folder / f'images/{i}.tif'), image)
    return folder


def test_auto_is_of_the_training_part_of_the_lists_that_were_asked_for(bright_test, tmp_path, run):
    words = ('--split-set', 'a/b', '--value-range', 'auto', '--out', tmp_path / 'out')
    code, _, err = run('dataset', 'prepare', 'deep', bright_test, *words)
    assert code == 0, err
    assert recorded(tmp_path / 'out') == [50, 200]
    assert SIRSTDataset(bright_test, 'test', value_range='auto', split_set='a/b').value_range == (50, 200)
    mistyped = SIRSTDataset(bright_test, 'all', value_range='auto', split_set='c', lazy_init=True)
    with pytest.raises(UserError, match="split_set 'c' is not the name of one set of lists"):
        mistyped.measured_range()


@pytest.mark.parametrize('options', [{'value_range': 'auto'}, {'exclude_near_test': True}])
def test_a_measured_image_that_holds_nan_is_named(bright_test, options):
    path = bright_test / 'images/p.tif'
    cv2.imwrite(str(path), np.full((32, 40), np.nan, np.float32))
    with pytest.raises(UserError, match=r'p\.tif: holds NaN'):
        SIRSTDataset(bright_test, 'trainval', **options)
