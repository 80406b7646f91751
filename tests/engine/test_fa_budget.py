"""``--fa-budget``: chosen on the validation part, told of the test part; and the table of detections."""

import csv
import json
import shutil

import cv2
import numpy as np
import pytest
from mmengine.config import Config

from madnet.errors import UserError
from madnet.evaluation.evaluator import Evaluator
from madnet.evaluation.folders import score_folder
from madnet.images import FrameLoader, notices
from madnet.records import MetricsFile


@pytest.fixture
def deep(make_set):
    """A data set of a camera that counts from 20000 to 22550, with masks of 0 and 1."""
    ids = [f'i{n}' for n in range(10)]
    root = make_set('mine', ids, lists={'trainval.txt': ids[:6], 'test.txt': ids[6:]})
    for n, i in enumerate(ids):
        image = np.random.default_rng(n).normal(90, 3, (64, 64))
        image[20:23, 30:33] += 80
        mask = np.zeros((64, 64), np.uint8)
        mask[20:23, 30:33] = 1
        cv2.imwrite(str(root / 'images' / f'{i}.png'), (20000 + 10 * image).astype(np.uint16))
        cv2.imwrite(str(root / 'masks' / f'{i}.png'), mask)
    return root


MASKS = ('--mask-values', 0, 1)


@pytest.mark.parametrize('value_range', [(20000, 22550), ('auto',)])
def test_a_cameras_range_and_masks_are_said_alike_everywhere(
    run, deep, tmp_path, value_range, monkeypatch, caplog
):
    """Train, test, calibrate and predict; nothing is said of contrast then."""
    monkeypatch.setattr(notices, '_said', set())
    monkeypatch.chdir(tmp_path)
    ranges = set()
    load = FrameLoader.__call__
    monkeypatch.setattr(
        FrameLoader, '__call__', lambda self, *a: (ranges.add(self.value_range), load(self, *a))[1]
    )
    reading = ('--value-range', *value_range, *MASKS)
    code, out, err = run('train', 'madnet_nano', '--dataset', deep, *reading, '--print-config')
    assert code == 0, err
    (tmp_path / 'read.py').write_text(out)
    sets = [Config.fromfile('read.py')[f'{part}_dataloader'].dataset for part in ('train', 'test')]
    for each in sets:
        assert each.mask_values == [0, 1]
        assert value_range == ('auto',) or tuple(each.value_range) == value_range
        assert 20000 <= each.value_range[0] < each.value_range[1] <= 22550
    code, out, err = run(
        'test', 'classical', '--method', 'tophat', '--dataset', deep, *reading, '--out', 'tested'
    )
    assert code == 0, err
    assert MetricsFile.read('tested/metrics.json').results['native']['Pd'] == 1
    code, out, err = run(
        'calibrate', 'tophat', '--dataset', deep, '--split', 'trainval', *reading, '--out', '.'
    )
    assert code == 0, err
    assert 'Fa <= 1e-05: Pd 100' in out
    assert len(ranges) == 1, 'one for all images of a set'
    assert ranges != {'auto'}
    code, out, err = run('predict', 'tophat', deep / 'images', *reading[:-3], '--fa-budget', '1e-5')
    assert code == 0, err
    assert 'contrast' not in caplog.text


def test_an_option_wins_over_the_range_of_a_trained_config(run, deep, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    printed = ('--print-config', '--value-range')
    code, out, err = run('train', 'madnet_nano', '--dataset', deep, *MASKS, *printed, 20000, 22550)
    (tmp_path / 'read.py').write_text(out)
    code, out, err = run('train', 'read.py', *printed, 19000, 23000)
    assert code == 0, err
    (tmp_path / 'other.py').write_text(out)
    assert tuple(Config.fromfile('other.py').test_dataloader.dataset.value_range) == (19000, 23000)


def test_a_calibration_of_nothing_is_not_written(run, deep, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for image in (deep / 'images').iterdir():
        cv2.imwrite(str(image), np.full((64, 64), 20000, np.uint16))
    code, _, err = run('calibrate', 'tophat', '--dataset', deep, '--split', 'trainval', *MASKS, '--out', '.')
    assert code == 2
    assert 'found no detection in 6 images with 6 targets' in err
    assert not [*tmp_path.glob('*.json')]


@pytest.fixture
def scored(make_set, tmp_path):
    """A data set of ten images and score maps that find each target, and one speck in two images."""
    ids = [f'i{n}' for n in range(10)]
    lists = {'trainval.txt': ids[:6], 'test.txt': ids[6:]}
    root = make_set('mine', ids, lists=lists)
    scores = tmp_path / 'scores'
    scores.mkdir()
    for n, i in enumerate(ids):
        rng = np.random.default_rng(n)
        image = rng.normal(90, 3, (64, 64))
        mask = np.zeros((64, 64), np.uint8)
        mask[20:23, 30:33] = 255
        image[mask > 0] += 80
        score = np.where(mask > 0, 0.999, 0.001)
        if n % 2:
            score[50:52, 8:10] = 0.9  # false, on nothing to be seen
        cv2.imwrite(str(root / 'images' / f'{i}.png'), image.clip(0, 255).astype(np.uint8))
        cv2.imwrite(str(root / 'masks' / f'{i}.png'), mask)
        cv2.imwrite(str(scores / f'{i}.png'), (65535 * score).astype(np.uint16))
    return root, scores


def test_the_rank_is_chosen_on_val_and_told_of_test(run, scored, tmp_path):
    root, scores = scored
    args = (scores, '--dataset', root, '--fa-budget', '1e-5', '--allow-missing')
    code, out, err = run('evaluate', *args, '--out', tmp_path / 'out')
    assert code == 0, err
    found = json.loads((tmp_path / 'out/metrics.json').read_text())
    native, budget = found['results']['native'], found['fa_budget']
    assert (native['Pd'], native['Fa']) == (1, 2 * 4 / (4 * 64**2))
    assert (budget['Pd'], budget['Fa']) == (1, 0)
    assert (native['Pd@1e-6'], native['AUC_rank']) == (1, 1)
    assert "chosen on 'val'" in out
    assert 'here Pd 100.00 %, Fa 0.00e-6\n' in out
    report = MetricsFile.read(tmp_path / 'out/metrics.json')
    report.fa_budget['Fa'] = 2e-5
    assert report.budget_text.endswith('Fa 20.00e-6, more than the budget')
    rows = list(csv.DictReader((tmp_path / 'out/detections.csv').open()))
    assert [row['matched'] for row in rows] == ['1'] * 4 + ['0'] * 2
    assert [float(row['rank']) for row in rows] == sorted((float(r['rank']) for r in rows), reverse=True)
    assert all(float(row['rank']) >= budget['rank'] for row in rows[:4])
    assert found['details']['native']['ranked']['Fa'][-1] == native['Fa']


@pytest.mark.parametrize('threshold', [0.3, 'best:val'])
def test_a_budget_beside_a_threshold_is_of_the_detections_at_it(run, scored, tmp_path, threshold):
    """A speck of 0.4 is no detection at 0.5: a cut that is chosen there knows nothing of it."""
    root, scores = scored
    for n in range(10):
        mask = cv2.imread(str(root / f'masks/i{n}.png'), cv2.IMREAD_UNCHANGED) > 0
        # most of a target below 0.5, so that the best threshold is there as well
        score = np.where(mask, 0.45, 0.01)
        score[20, 30:33] = 0.999
        score[50:52, 8:10] = 0.46
        image = cv2.imread(str(root / f'images/i{n}.png'), cv2.IMREAD_UNCHANGED)
        image[50:52, 8:10] = 130
        cv2.imwrite(str(root / f'images/i{n}.png'), image)
        np.save(scores / f'i{n}.npy', score.astype(np.float32))
        (scores / f'i{n}.png').unlink()
    args = ('evaluate', scores, '--dataset', root, '--allow-missing', '--threshold', threshold)
    code, _, err = run(*args, '--fa-budget', '1e-5', '--out', tmp_path / 'out')
    assert code == 0, err
    found = json.loads((tmp_path / 'out/metrics.json').read_text())
    assert found['threshold'] < 0.5
    assert found['results']['native']['false_components'] == 4
    assert (found['fa_budget']['Pd'], found['fa_budget']['Fa']) == (1, 0)


def test_a_choice_is_made_on_its_own_images_whatever_is_scored(run, scored, tmp_path):
    root, scores = scored
    (tmp_path / 'ids.txt').write_text('i8\ni9\n')
    args = (scores, '--dataset', root, '--ids', tmp_path / 'ids.txt', '--allow-missing')
    for more in (('--threshold', 'best:val'), ('--fa-budget', '1e-5')):
        code, out, err = run('evaluate', *args, *more)
        assert code == 0, err
        assert "'val', 2 images" not in out
        whole = run('evaluate', *args[:3], '--allow-missing', *more)[1]
        chosen = [line.partition(';')[0] for line in (out + whole).splitlines() if "on 'val'" in line]
        assert len(chosen) == 2
        assert chosen[0] == chosen[1]
    for more in ((), ('--min-rank', 2), ('--fa-budget', '1e-5')):
        told = 'is rounded, and its rank is not' in run('evaluate', *args, *more)[1]
        assert told == bool(more), more  # of scores up to 0.999, which 16 bits hold


def test_a_saturated_score_is_told(run, scored):
    root, scores = scored
    args = (scores, '--dataset', root, '--allow-missing')
    score = cv2.imread(str(scores / 'i8.png'), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(scores / 'i8.png'), np.where(score == score.max(), 65535, score).astype(np.uint16))
    assert 'is rounded, and its rank is not' in run('evaluate', *args)[1]


@pytest.mark.parametrize('part', [range(6, 10), range(10)])
def test_without_a_target_a_budget_says_nothing_of_pd(run, scored, part):
    root, scores = scored
    for n in part:
        cv2.imwrite(str(root / 'masks' / f'i{n}.png'), np.zeros((64, 64), np.uint8))
    code, out, err = run('evaluate', scores, '--dataset', root, '--fa-budget', '1e-2', '--allow-missing')
    assert code == 0, err
    (line,) = [line for line in out.splitlines() if line.startswith('Fa <= ')]
    assert '; here Fa ' in line
    assert ', Pd 100.00 and Fa ' in line if len(part) == 4 else ' images, Fa ' in line


def test_an_image_of_another_size_than_its_map_keeps_a_rank_a_rank(run, scored):
    root, scores = scored
    args = ('evaluate', scores, '--dataset', root, '--allow-missing')
    before, scr_before = (run(*args, *more)[1] for more in (('--fa-budget', '1e-5'), ('--min-scr', '2')))
    image = cv2.imread(str(root / 'images' / 'i9.png'), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(root / 'images' / 'i9.png'), cv2.resize(image, (128, 128)))
    assert run(*args, '--fa-budget', '1e-5')[1] == before
    assert run(*args, '--min-scr', '2')[1] == scr_before
    evaluator = score_folder(scores, root / 'masks', image_dir=root / 'images')[0]
    assert not np.isnan(evaluator.predicted('native')['rank']).any()
    with pytest.raises(UserError, match=r'^i9: image is 60 × 64, mask is 64 × 64 \(width × height\)'):
        Evaluator().update(np.zeros((64, 64)), np.zeros((64, 64)), 'i9', image=image[:, 4:])
    cv2.imwrite(str(root / 'images' / 'i9.png'), image[:, 4:])
    code, _, err = run(*args[:-1], '--min-scr', '2')
    assert (code, 'i9 is 64 × 64, its image 60 × 64 (width × height)' in err) == (2, True)
    assert '3 images, 1 left out' in run(*args)[1]


def test_a_map_without_its_image_is_left_out_and_a_rank_stays_a_rank(run, scored, tmp_path):
    root, scores = scored
    (tmp_path / 'some').mkdir()
    for n in range(9):
        shutil.copy(root / f'images/i{n}.png', tmp_path / 'some')
    args = ('evaluate', scores, '--dataset', root, '--images', tmp_path / 'some', '--fa-budget', '1e-5')
    code, _, err = run(*args)
    assert (code, 'i9 has no image' in err) == (2, True)
    code, out, err = run(*args, '--allow-missing')
    assert code == 0, err
    assert 'here Pd 100.00 %, Fa 0.00e-6' in out
    assert '3 images, 1 left out' in out
    code, _, err = run('evaluate', scores, root / 'masks', '--images', scores.parent / 'masks')
    assert code == 2


@pytest.mark.parametrize(
    ('more', 'words'),
    [
        (['--split', 'val'], "--fa-budget 1e-05: is chosen on 'val'"),
        (['--protocol', 'basicirstd'], 'by protocol native'),
        (['--fa-budget', '-1'], 'expected a share'),
    ],
)
def test_refusals_are_one_line(run, scored, more, words):
    root, scores = scored
    code, _, err = run('evaluate', scores, '--dataset', root, '--allow-missing', '--fa-budget', '1e-5', *more)
    assert code == 2
    assert words in err
    assert err.count('\n') == 1
