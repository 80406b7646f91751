"""madnet predict on what cameras write, and madnet evaluate on what other programs write."""

import json

import cv2
import numpy as np
import pytest

from madnet.images import notices


@pytest.fixture(autouse=True)
def said(monkeypatch, caplog):
    """What was warned of."""
    monkeypatch.setattr(notices, '_said', set())
    return lambda: '\n'.join(caplog.messages)


def scene(seed=0, side=96):
    rng = np.random.default_rng(seed)
    frame = cv2.GaussianBlur(rng.normal(60, 8, (side, side)), (0, 0), 3) + rng.normal(0, 2, (side, side))
    y, x = np.mgrid[:side, :side]
    frame += 140 * np.exp(-((y - 40) ** 2 + (x - 50) ** 2) / 4.5)
    return np.clip(frame, 0, 255).astype(np.uint8)


def predict(run, tmp_path, *arguments):
    code, _, err = run('predict', 'tophat', *arguments, '--out', tmp_path / 'out', '--format', 'json,masks')
    found = tmp_path / 'out' / 'targets.json'
    return code, err, json.loads(found.read_text()) if found.is_file() else {}


def test_every_frame_of_a_file_is_an_image(run, tmp_path):
    frames = [scene(k) for k in range(4)]
    cv2.imwritemulti(str(tmp_path / 'pages.tif'), frames)
    np.save(tmp_path / 'stack.npy', np.stack(frames[:2]))
    code, err, found = predict(run, tmp_path, tmp_path / 'pages.tif', tmp_path / 'stack.npy')
    assert code == 0, err
    names = [f'pages_{k:04d}' for k in range(4)] + ['stack_0000', 'stack_0001']
    assert [i['name'] for i in found['images']] == names
    masks = [cv2.imread(str(tmp_path / 'out' / 'masks' / f'{n}.png'), 0) for n in names]
    assert all(m[40, 50] == 255 for m in masks)
    np.testing.assert_array_equal(masks[0], masks[4])


@pytest.mark.parametrize('value_range', [('270', '302'), ('auto',)])
def test_kelvin(run, tmp_path, value_range):
    path = tmp_path / 'kelvin.tif'
    cv2.imwrite(str(path), (270 + scene() / 8).astype(np.float32))
    code, err, _ = predict(run, tmp_path, path)
    assert code == 2
    assert '--value-range 27' in err
    # before the input, where a greedy option would swallow it
    code, err, found = predict(run, tmp_path, '--value-range', *value_range, path)
    assert code == 0, err
    assert len(found['images'][0]['targets']) == 1
    low, high = found['value_range']
    assert (low, high) == (270, 302) if value_range != ('auto',) else 270 < low < high < 302


def test_counts_of_16_bits_are_told(run, tmp_path, said):
    path = tmp_path / 'counts.png'
    cv2.imwrite(str(path), (20000 + 10.0 * scene()).astype(np.uint16))
    code, _, _ = predict(run, tmp_path, path)
    assert code == 0
    assert 'of 0 to 65535' in said()
    assert said().count('--value-range') == 1


def test_one_range_for_a_folder(run, tmp_path, said):
    folder = tmp_path / 'frames'
    folder.mkdir()
    for k, gain in enumerate((10.0, 20.0)):
        cv2.imwrite(str(folder / f'{k}.png'), (20000 + gain * scene(k)).astype(np.uint16))
    (folder / 'notes.txt').touch()
    code, err, found = predict(run, tmp_path, folder, '--value-range', 'auto')
    assert code == 0, err
    assert said().count('value range') == 1
    assert 'auto' not in said()
    assert '1 files are left out, of a kind that is not read: 1 .txt' in said()
    low, high = found['value_range']
    assert low < 20800
    assert high > 23500


def test_labels_of_other_programs(run, tmp_path):
    truth = np.zeros((40, 40), np.uint8)
    truth[10:13, 20:23] = 255
    for folder, pixels in (('masks', truth), ('labels', truth // 255)):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / 'x.png'), pixels)
    code, out, err = run('evaluate', tmp_path / 'labels', tmp_path / 'masks')
    assert (code, out) == (2, '')
    assert '--labels' in err
    assert err.count('\n') == 1
    code, out, err = run('evaluate', tmp_path / 'labels', tmp_path / 'masks', '--labels')
    assert code == 0, err
    assert '100.00' in out
    code, _, err = run(
        'evaluate', tmp_path / 'labels', tmp_path / 'labels', '--labels', '--mask-values', 0, 1
    )
    assert code == 0, err


def test_a_mended_mask_counts_as_in_the_data_set(run, tmp_path, said):
    """NUAA-SIRST's Misc_111: what lies in fixes/ counts for evaluate.py as for the data set."""
    root = tmp_path / 'NUAA-SIRST'
    truth = np.zeros((22, 33), np.uint8)
    truth[5:8, 9:12] = 255
    wrong = np.roll(truth, 9, axis=1).repeat(2, 0).repeat(2, 1)
    for place, pixels in (('masks', wrong), ('fixes', truth), ('scores', truth)):
        (root / place).mkdir(parents=True)
        cv2.imwrite(str(root / place / 'Misc_111.png'), pixels)
    code, _, err = run('evaluate', root / 'scores', root / 'masks', '--out', tmp_path / 'out')
    assert code == 0, err
    assert json.loads((tmp_path / 'out' / 'metrics.json').read_text())['results']['native']['IoU'] == 1
    (root / 'fixes' / 'Misc_111.png').unlink()
    code, _, err = run('evaluate', root / 'scores', root / 'masks', '--out', tmp_path / 'out')
    assert code == 0, err
    assert 'by nearest neighbour' in said()
    assert json.loads((tmp_path / 'out' / 'metrics.json').read_text())['results']['native']['IoU'] == 0


def test_a_range_that_leaves_no_contrast_is_told(run, tmp_path, said):
    """Frames of two sensors have no range in common."""
    folder = tmp_path / 'frames'
    folder.mkdir()
    cv2.imwrite(str(folder / 'kelvin.tif'), (270 + scene() / 8).astype(np.float32))
    cv2.imwrite(str(folder / 'counts.png'), (20000 + 10.0 * scene()).astype(np.uint16))
    code, err, _ = predict(run, tmp_path, folder, '--value-range', 'auto')
    assert code == 0, err
    assert 'which leaves little contrast' in said()


def test_floats_are_scored_without_a_range(run, tmp_path):
    """Which is for those who look at the images; scoring reads masks, by its own options."""
    root = tmp_path / 'mine'
    truth = np.zeros((96, 96), np.uint8)
    truth[38:43, 48:53] = 1
    for place, pixels in (('images', (270 + scene() / 8).astype(np.float32)), ('masks', truth)):
        (root / place).mkdir(parents=True)
        cv2.imwrite(str(root / place / 'x.tif'), pixels)
    (root / 'test.txt').write_text('x')
    (tmp_path / 'maps').mkdir()
    cv2.imwrite(str(tmp_path / 'maps' / 'x.png'), truth * 255)
    code, _, err = run('evaluate', tmp_path / 'maps', '--dataset', root)
    assert code == 2
    assert '--mask-values 0 1' in err
    code, out, err = run('evaluate', tmp_path / 'maps', '--dataset', root, '--mask-values', 0, 1)
    assert code == 0, err
    assert out.splitlines()[2].split()[:2] == ['native', '100.00']


def test_scores_that_were_rounded_to_0_leave_the_area_open(run, tmp_path):
    truth, scores = np.zeros((40, 40), np.uint8), np.zeros((40, 40), np.float32)
    truth[10:14, 20:24] = 255
    scores[10:14, 20:22], scores[10:14, 22:24] = 0.9, 1e-6
    for folder, name, pixels in (
        ('masks', 'x.png', truth),
        ('maps', 'x.png', (scores * 65535).astype('<u2')),
    ):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / name), pixels)
    code, out, err = run('evaluate', tmp_path / 'maps', tmp_path / 'masks')
    assert code == 0, err
    assert 'maps that tell them apart, such as logits in .npy, would give AUC 50.00 to 100.00' in out
    (tmp_path / 'floats').mkdir()
    np.save(tmp_path / 'floats' / 'x.npy', scores)
    code, out, err = run('evaluate', tmp_path / 'floats', tmp_path / 'masks')
    assert 'AUC:' not in out
    assert out.splitlines()[2].split()[-1] == '100.00'
