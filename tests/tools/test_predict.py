"""madnet predict and madnet pretrained from end to end, and what they say to wrong input."""

import argparse
import contextlib
import csv
import io
import json

import cv2
import numpy as np
import pytest
import torch
from mmseg.registry import MODELS

from madnet.cli.predict import add_options
from madnet.engine.config import load_config
from madnet.files import CannotWrite
from madnet.inference import Predictor
from madnet.inference.outputs import COLUMNS
from madnet.records import pretrained_index as index


@pytest.fixture(scope='module')
def detector(tmp_path_factory, repository):
    """(config, checkpoint) of a tiny network that scores bright pixels above 0.5."""
    folder = tmp_path_factory.mktemp('detector')
    config = folder / 'tiny.py'
    config.write_text(
        f"_base_ = ['{repository}/configs/madnet_synthetic.py']\n"
        'model = dict(backbone=dict(base_channels=2))\n'
        'val_dataloader = dict(dataset=dict(length=3, size=64))\n'
    )
    torch.manual_seed(4)
    model = MODELS.build(load_config(config).model)
    torch.save({'state_dict': model.state_dict()}, folder / 'tiny.pth')
    return config, folder / 'tiny.pth'


@pytest.fixture
def images(tmp_path):
    """A folder of two grey images and one of 16 bit in colour."""
    folder = tmp_path / 'images'
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i, size in enumerate([(60, 80), (75, 64)]):
        cv2.imwrite(str(folder / f'scene{i}.png'), rng.integers(0, 256, size, np.uint8))
    cv2.imwrite(str(folder / 'wide.tif'), rng.integers(0, 65536, (50, 90, 3), np.uint16))
    return folder


def _call(run, detector, *args):
    return run('predict', '--config', detector[0], '--checkpoint', detector[1], *args)


def test_every_format(run, detector, images, tmp_path):
    out = tmp_path / 'out'
    predictions = Predictor(*detector)(images)
    level = round(float(np.median(predictions[0].score_map)), 4)
    code, printed, err = _call(run, detector, images, '--out', out, '--format', 'all', '--threshold', level)
    assert code == 0, err
    assert ' targets in 3 images\n' in printed
    predictions = Predictor(*detector, threshold=level)(images)
    assert sum(len(p.targets) for p in predictions) > 3

    rows = list(csv.DictReader((out / 'targets.csv').open()))
    assert tuple(rows[0]) == COLUMNS
    document = json.loads((out / 'targets.json').read_text())
    assert document['threshold'] == level
    assert [i['name'] for i in document['images']] == ['scene0', 'scene1', 'wide']
    for p, image in zip(predictions, document['images'], strict=True):
        scores = cv2.imread(str(out / 'scores' / f'{p.name}.png'), cv2.IMREAD_UNCHANGED)
        assert scores.dtype == np.uint16
        np.testing.assert_allclose(scores / 65535, p.score_map, atol=1e-5)
        np.testing.assert_array_equal(np.load(out / 'npy' / f'{p.name}.npy'), p.score_map)
        mask = cv2.imread(str(out / 'masks' / f'{p.name}.png'), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(mask, p.mask * np.uint8(255))
        assert cv2.imread(str(out / 'overlays' / f'{p.name}.png')).shape[2] == 3
        assert image['targets'] == [{'number': n, **t.to_dict()} for n, t in enumerate(p.targets, 1)]
        own = [r for r in rows if r['image'] == p.name]
        assert [int(r['area']) for r in own] == [t.area for t in p.targets]
        assert [int(r['number']) for r in own] == [*range(1, len(own) + 1)]
        height, width = p.score_map.shape
        for line, t in zip(
            (out / 'labels' / f'{p.name}.txt').read_text().splitlines(), p.targets, strict=True
        ):
            kind, x, y, w, h, score = (float(v) for v in line.split())
            corners = (x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height
            assert corners == pytest.approx(t.box, abs=1e-3)
            assert (kind, score) == (0, pytest.approx(t.peak, abs=1e-5))
    _check_coco(out / 'coco.json', predictions)
    left = [p.name for p in out.rglob('*') if p.name.startswith('.')]
    assert left == ['.madnet']


def _check_coco(path, predictions):
    coco = pytest.importorskip('pycocotools.coco')
    with contextlib.redirect_stdout(io.StringIO()):
        labels = coco.COCO(str(path))
    for number, p in enumerate(predictions, 1):
        annotations = labels.loadAnns(labels.getAnnIds(imgIds=[number]))
        together = np.zeros(p.mask.shape, bool)
        for a, t in zip(annotations, p.targets, strict=True):
            pixels = labels.annToMask(a).astype(bool)
            assert pixels.sum() == a['area'] == t.area
            x, y, w, h = a['bbox']
            assert pixels[y : y + h, x : x + w].sum() == t.area
            together |= pixels
        np.testing.assert_array_equal(together, p.mask)


#: Options of ``predict`` that records name: how each is given, and what they say then.
_RECORDED = {
    'threshold': ('0.4', 0.4),
    'min_area': ('2', 2),
    'min_scr': ('0.5', 0.5),
    'min_rank': ('0.1', 0.1),
    'tile': ('96', [96, 96]),
    'overlap': ('8', 8),
    'value_range': ('50 200', [50, 200]),
    'device': ('cpu', 'cpu'),
    'views': ('2', 2),
    'scales': ('1,0.7', [1, 0.7]),
    'merge': ('max', 'max'),
    'fold': ('', True),
    'amp': ('', True),
    'batch': ('2', 2),
    'dataset': ('nuaa', 'nuaa'),
    'options': ('model.test_cfg.temperature=2.5', {'model.test_cfg.temperature': 2.5}),
    'trust_checkpoint': ('', True),
}
#: Those that the network of these tests, or a clip, does not take.
_OF_OTHERS = ('fa_budget', 'calibrated', 'false_alarms', 'background', 'raw')
#: Those that change nothing of it, or are recorded as the detector, the images and the clip.
_ELSEWHERE = 'help inputs config checkpoint out format threads jobs clip track fps'


@pytest.fixture
def frame(tmp_path):
    folder = tmp_path / 'frame'
    folder.mkdir()
    image = np.random.default_rng(0).integers(80, 180, (112, 112), np.uint8)
    cv2.imwrite(str(folder / 'a.png'), image)
    return folder


def test_records_say_what_was_asked_for(run, frame, tmp_path, monkeypatch):
    parser = argparse.ArgumentParser()
    add_options(parser)
    flags = {a.dest: a.option_strings for a in parser._actions if a.dest != argparse.SUPPRESS}
    assert sorted(flags) == sorted([*_RECORDED, *_OF_OTHERS, *_ELSEWHERE.split()])  # each is in one of them

    words = [w for name, (given, _) in _RECORDED.items() for w in (flags[name][0], *given.split())]
    expected = {name: value for name, (_, value) in _RECORDED.items()}
    nano = ('--config', 'madnet_nano', '--checkpoint', 'madnet_nano', frame, '--out', tmp_path)
    code, _, err = run('predict', *nano, '--format', 'json,coco', *words)
    assert code == 0, err
    assert _heads(tmp_path / 'targets.json', expected) == expected
    assert json.loads((tmp_path / 'coco.json').read_text())['info'].items() >= expected.items()
    code, _, err = run('predict', *nano, '--clip', '--format', 'csv', *words)
    assert code == 0, err
    assert _heads(tmp_path / 'frame.json', expected) == expected

    budget = ('--fa-budget', '1e-5', '--calibrated')
    code, _, err = run('predict', 'madnet_nano', frame, '--out', tmp_path, '--format', 'json', *budget)
    assert code == 0, err
    assert _heads(tmp_path / 'targets.json', _OF_OTHERS) == {'fa_budget': 1e-5, 'calibrated': True}
    background = ('--false-alarms', '1.5', '--background', frame)
    code, _, err = run('predict', 'tophat', frame, '--out', tmp_path, '--format', 'json', *background)
    assert code == 0, err
    assert _heads(tmp_path / 'targets.json', _OF_OTHERS) == {'false_alarms': 1.5, 'background': str(frame)}
    (tmp_path / 'pipe').write_bytes(bytes(64 * 64))
    with open(tmp_path / 'pipe') as pipe:
        monkeypatch.setattr('sys.stdin', pipe)
        raw = ('--raw', '64x64:uint8', '--format', 'csv')
        code, _, err = run('predict', 'tophat', '-', '--out', tmp_path, *raw)
    assert code == 0, err
    assert _heads(tmp_path / 'stdin.json', _OF_OTHERS) == {'raw': '64x64:uint8'}


def _heads(path, names):
    """What a record says of some options."""
    content = json.loads(path.read_text())
    return {name: content[name] for name in names if name in content}


def test_scores_can_be_scored(run, detector, images, tmp_path):
    out = tmp_path / 'out'
    code, _, err = _call(run, detector, images, '--out', out, '--format', 'scores,masks')
    assert code == 0, err
    assert sorted(p.name for p in out.iterdir()) == ['.madnet', 'masks', 'scores']
    # random weights find targets everywhere: masks that look inverted unless one says that they are not
    code, _, err = run('evaluate', out / 'scores', out / 'masks', '--mask-values', '0', '255')
    assert code == 0, err


def test_unreadable_images_are_told_of_and_the_others_done(run, detector, images, tmp_path):
    (images / 'broken.png').write_bytes(b'no image')
    code, printed, err = _call(run, detector, images, '--out', tmp_path / 'out', '--format', 'masks,csv')
    assert code == 2
    first, second, *_ = printed.splitlines()
    assert first.startswith('1 of 4 images could not be predicted; ')
    assert ' in 3 images' in second
    assert err.count('\n') == 1
    assert '1 of 4 images' in err
    assert 'broken.png' in err
    assert len(list((tmp_path / 'out' / 'masks').iterdir())) == 3
    code, _, err = _call(run, detector, images / 'broken.png', '--out', tmp_path / 'none')
    assert code == 2
    assert 'broken.png' in err
    assert not (tmp_path / 'none').exists()


def test_folders_of_results_are_listed_where_there_are_results(run, tmp_path):
    for name in 'ab':
        (tmp_path / f'{name}.png').write_bytes(b'no image')
    code, printed, _ = run('predict', 'tophat', tmp_path, '--out', tmp_path / 'out')
    assert code == 2
    listed = {line.split()[-1] for line in printed.splitlines()[1:]}
    assert listed == {str(tmp_path / 'out' / f'targets.{kind}') for kind in ('csv', 'json')}
    assert listed == {str(p) for p in (tmp_path / 'out').iterdir() if p.name != '.madnet'}


def test_a_first_image_that_fails_leaves_no_empty_folders(run, detector, images, tmp_path, monkeypatch):
    def full_disk(path, *_, **__):
        path.parent.mkdir(parents=True, exist_ok=True)
        raise CannotWrite('No space left on device')

    monkeypatch.setattr('madnet.inference.sharing.write_whole', full_disk)
    code, *_ = _call(run, detector, images, '--out', tmp_path / 'out', '--format', 'scores,masks')
    assert code == 2
    assert not (tmp_path / 'out').exists()


def test_nothing_is_left_half_written(run, detector, images, tmp_path, monkeypatch):
    def full_disk(*_):
        raise OSError(28, 'No space left on device')

    out = tmp_path / 'out'
    monkeypatch.setattr('os.replace', full_disk)
    code, _, err = _call(run, detector, images, '--out', out)
    assert code == 2
    assert 'No space left' in err
    assert [p for p in out.rglob('*') if p.is_file()] == []


def test_several_processes_find_the_same(run, detector, images, tmp_path, monkeypatch):
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    (images / 'broken.png').write_bytes(b'no image')
    found = []
    for jobs in (1, 2):
        out = tmp_path / f'out{jobs}'
        code, _, err = _call(run, detector, images, '--out', out, '--format', 'masks,json', '--jobs', jobs)
        assert code == 2
        assert '1 of 4' in err
        found.append([json.loads((out / 'targets.json').read_text())['images'], _files(out / 'masks')])
    assert found[0] == found[1]
    code, _, err = _call(run, detector, images, '--out', tmp_path / 'out0', '--jobs', 0)
    assert (code, '--jobs' in err) == (2, True)


def _files(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def test_weak_labels_are_a_data_set(run, images, tmp_path):
    from madnet.datasets import SIRSTDataset

    image = np.full((64, 64), 90, np.uint8)
    image[20:23, 30:33] = 200
    for path in images.iterdir():
        path.unlink()
    cv2.imwrite(str(images / 'a.png'), image)
    code, _, err = run('predict', 'tophat', images, '--out', tmp_path, '--format', 'masks')
    assert code == 0, err
    dataset = SIRSTDataset(tmp_path, split='all')
    _, mask = dataset.read_sample(0)
    np.testing.assert_array_equal(mask, np.where(image == 200, 255, 0))


def test_same_stems_do_not_overwrite_each_other(run, detector, images, tmp_path):
    other = tmp_path / 'others'
    other.mkdir()
    (other / 'scene0.png').write_bytes((images / 'scene1.png').read_bytes())
    out = tmp_path / 'out'
    code, _, err = _call(run, detector, images, other, '--out', out, '--format', 'masks')
    assert code == 0, err
    names = sorted(p.stem for p in (out / 'masks').iterdir())
    assert names == ['images_scene0', 'others_scene0', 'scene1', 'wide']


def test_a_shipped_network_by_name(run, detector, images, tmp_path, monkeypatch):
    folder = tmp_path / 'table'
    folder.mkdir()
    monkeypatch.setattr(index, 'FOLDER', folder)
    sections = ''.join(f'\n## {s}\n…\n' for s in ('Data', 'Recipe', 'Numbers', 'Cost', 'Limits'))
    (tmp_path / 'card.md').write_text(f'# Tiny, of no use\n{sections}', encoding='utf-8')
    code, printed, err = run('pretrained', 'add', 'tiny_one', *detector, '--card', tmp_path / 'card.md')
    assert code == 0, err
    assert 'tiny_one' in printed
    for tool, arguments in (('pretrained', ['list']), ('predict', ['--list'])):
        code, printed, err = run(tool, *arguments)
        assert code == 0, err
        assert 'tiny_one' in printed
        assert 'Tiny, of no use' in printed
    code, printed, err = run('predict', 'tiny_one', images, '--out', tmp_path / 'out', '--tile', '64')
    assert code == 0, err
    assert (tmp_path / 'out' / 'targets.json').is_file()
    assert len(list((tmp_path / 'out' / 'overlays').iterdir())) == 3


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['madnet_nanno', '{images}'], 'no detector of this name'),
        (['--config', '{config}', '{images}'], 'needs trained weights'),
        (['--config', '{config}', '--checkpoint', '{checkpoint}', 'no/such'], 'no such file or folder'),
        (['--config', '{config}', '--checkpoint', '{checkpoint}', '{empty}'], 'no image in this folder'),
        (
            ['--config', '{config}', '--checkpoint', '{checkpoint}', '{images}', '--format', 'pgn'],
            "Did you mean 'png'",
        ),
        (['--config', '{config}', '--checkpoint', '{checkpoint}', '{images}', '{images}'], 'more than once'),
        (
            ['--config', '{config}', '--checkpoint', '{checkpoint}', '{images}', '--threshold', '5'],
            'threshold',
        ),
        (['madnet_nano', '{images}', '--tile', '5y7'], '480x640'),
        (['madnet_nano'], 'expected an image'),
        ([], 'expected MODEL'),
    ],
)
def test_wrong_input(run, detector, images, tmp_path, arguments, words):
    (tmp_path / 'empty').mkdir()
    names = {'images': images, 'config': detector[0], 'checkpoint': detector[1], 'empty': tmp_path / 'empty'}
    code, _, err = run('predict', *(a.format(**names) for a in arguments), '--out', tmp_path / 'out')
    assert code == 2
    assert words in err
    assert 'Traceback' not in err
    assert not (tmp_path / 'out').exists()
