import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from madnet.errors import UserError
from madnet.evaluation import PROTOCOLS, compare_folders, evaluate, evaluate_all, score_folder
from madnet.evaluation.components import find_components
from madnet.evaluation.folders import find_maps, pair_folders
from madnet.evaluation.rules import MATCHINGS, sentence
from madnet.evaluation.targets import Least, describe_components
from madnet.images import read_scores

from . import plain

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folders(tmp_path):
    """Six scenes: masks as PNG with a suffix, predictions as .npy."""
    rng = np.random.default_rng(0)
    preds, masks = tmp_path / 'preds', tmp_path / 'masks'
    preds.mkdir()
    masks.mkdir()
    pairs = []
    for k in range(6):
        prob, mask = plain.scene(rng, size=(40, 30 + k))
        np.save(preds / f'Misc_{k}.npy', prob)
        cv2.imwrite(str(masks / f'Misc_{k}_pixels0.png'), mask)
        pairs.append((prob, mask))
    return preds, masks, pairs


def test_equals_evaluate(folders):
    preds, masks, pairs = folders
    evaluator, left_out = score_folder(preds, masks, 'all', size=(32, 32))
    assert left_out == ()
    expected = evaluate_all(*zip(*pairs, strict=True), 'all', size=(32, 32))
    assert str(evaluator.compute()) == str(expected)


@pytest.mark.parametrize(
    ('suffix', 'error'),
    [('.png', 0.51 / 255), ('16.png', 0.51 / 65535), ('.npy', 0), ('.npz', 0), ('.tiff', 0)],
)
def test_kinds_of_files(tmp_path, suffix, error):
    prob = plain.scene(np.random.default_rng(0))[0]
    path = tmp_path / f'x{suffix}'
    if suffix == '.png':
        cv2.imwrite(str(path), np.round(prob * 255).astype(np.uint8))
    elif suffix == '16.png':
        cv2.imwrite(str(path), np.round(prob * 65535).astype(np.uint16))
    elif suffix == '.npy':
        np.save(path, prob)
    elif suffix == '.npz':
        np.savez(path, score=prob)
    else:
        cv2.imwrite(str(path), prob)
    np.testing.assert_allclose(read_scores(path), prob, atol=error)


def test_logits(folders, tmp_path):
    _, masks, pairs = folders
    logits = tmp_path / 'logits'
    logits.mkdir()
    for k, (prob, _) in enumerate(pairs):
        np.savez_compressed(logits / f'Misc_{k}_logits.npz', np.log(prob / (1 - prob)))
    with pytest.raises(UserError, match='--logits'):
        score_folder(logits, masks)
    result = score_folder(logits, masks, from_logits=True)[0].compute()['native']
    assert result['IoU'] == evaluate(*zip(*pairs, strict=True))['IoU']


def test_what_does_not_fit_is_listed_at_once(folders):
    preds, masks, _ = folders
    (preds / 'Misc_1.npy').unlink()
    (masks / 'Misc_2_pixels0.png').unlink()
    np.save(preds / 'Misc_3.npy', np.zeros((7, 9), np.float32))
    with pytest.raises(UserError) as caught:
        score_folder(preds, masks)
    for part in (
        '3 files',
        'Misc_1 has no prediction',
        'Misc_2 has no mask',
        'Misc_3 is 9 × 7, its mask 33 × 40',
    ):
        assert part in str(caught.value)
    evaluator, left_out = score_folder(preds, masks, allow_missing=True)
    assert evaluator.names == ['Misc_0', 'Misc_4', 'Misc_5']
    assert len(left_out) == 3
    evaluator, _ = score_folder(preds, masks, ids=['Misc_0', 'Misc_5.png'])
    assert evaluator.names == ['Misc_0', 'Misc_5']


def test_bad_folders_and_files(folders, tmp_path):
    preds, masks, _ = folders
    empty = tmp_path / 'empty'
    empty.mkdir()
    with pytest.raises(UserError, match='no file in'):
        score_folder(empty, masks)
    with pytest.raises(UserError, match='no folder'):
        score_folder(tmp_path / 'nowhere', masks)
    np.save(preds / 'Misc_0.npy', np.full((40, 30), np.nan, np.float32))
    with pytest.raises(UserError, match='Misc_0: score map: all NaN'):
        score_folder(preds, masks)
    (preds / 'Misc_0.npy').write_bytes(b'no array')
    with pytest.raises(UserError, match=r'Misc_0.npy: not readable'):
        score_folder(preds, masks)
    np.savez(preds / 'Misc_0.npz', a=np.zeros(3), b=np.zeros(3))
    with pytest.raises(UserError, match="stand for 'Misc_0'"):
        find_maps(preds, 'predictions')
    (preds / 'Misc_0.npy').unlink()
    with pytest.raises(UserError, match='2 arrays'):
        pair_folders(preds, masks)


def test_coloured_masks_count_by_their_strongest_channel(folders):
    preds, masks, pairs = folders
    expected = score_folder(preds, masks)[0].compute()
    for k, (_, mask) in enumerate(pairs):
        red = np.stack([np.zeros_like(mask), np.zeros_like(mask), mask], axis=2)
        cv2.imwrite(str(masks / f'Misc_{k}_pixels0.png'), red)
    assert str(score_folder(preds, masks)[0].compute()) == str(expected)


@pytest.mark.parametrize('value', [1, 100])
def test_masks_without_a_bright_value_are_refused_unless_told(folders, value):
    preds, masks, pairs = folders
    expected = score_folder(preds, masks)[0].compute()['native']
    for k, (_, mask) in enumerate(pairs):
        cv2.imwrite(str(masks / f'Misc_{k}_pixels0.png'), (mask > 127).astype(np.uint8) * value)
    with pytest.raises(UserError, match=f'highest values: {value} .*--mask-values 0 {value}'):
        score_folder(preds, masks)
    told = score_folder(preds, masks, mask_values=(0, value))[0].compute()['native']
    assert told['IoU'] == expected['IoU']
    with pytest.raises(UserError, match=rf'values 0, {value}; expected those of mask_values, 0, 7'):
        score_folder(preds, masks, mask_values=(0, 7))


def test_inverted_masks_are_refused_unless_told(folders):
    preds, masks, pairs = folders
    expected = score_folder(preds, masks, mask_values=None)[0].compute()['native']
    for k, (_, mask) in enumerate(pairs):
        white = (mask > 127).astype(np.uint8) * 255
        cv2.imwrite(str(masks / f'Misc_{k}_pixels0.png'), 255 - white)
    with pytest.raises(UserError, match='look inverted: --mask-values 255 0'):
        score_folder(preds, masks)
    assert score_folder(preds, masks, mask_values=(255, 0))[0].compute()['native']['Pd'] == expected['Pd']


@pytest.mark.parametrize('value', [1, 100, np.uint16(1)])
def test_predicted_labels_are_refused_unless_told(folders, value):
    """mmseg writes 0 and 1; as grey values they would be scores of 0.004."""
    preds, masks, pairs = folders
    labels = preds.parent / 'labels'
    labels.mkdir()
    for k, (_, mask) in enumerate(pairs):
        cv2.imwrite(str(labels / f'Misc_{k}.png'), (mask > 127).astype(np.uint8) * value)
    with pytest.raises(UserError, match=f'6 files of whole numbers 0 and {value},.*--labels'):
        score_folder(labels, masks)
    result = score_folder(labels, masks, labels=True)[0].compute()['native']
    assert (result['IoU'], result['Pd'], result['Fa']) == (1, 1, 0)


def test_grey_values_of_8_bits_in_16_are_refused_and_low_scores_are_not(folders):
    preds, masks, pairs = folders

    def write(scale, dtype):
        for k, (prob, _) in enumerate(pairs):
            (preds / f'Misc_{k}.npy').unlink(missing_ok=True)
            cv2.imwrite(str(preds / f'Misc_{k}.png'), np.round(prob * scale).astype(dtype))
        return score_folder(preds, masks)[0].compute()['native']['IoU']

    assert write(255, np.uint8) > 0
    with pytest.raises(UserError, match=r'6 files of 16 bits with values up to 2[45].*multiplied by 257'):
        write(255, np.uint16)
    # a network that finds nothing: by no reading is anything a target
    assert [write(100, np.uint16), write(100, np.uint8), write(3, np.uint8), write(300, np.uint16)] == [0] * 4
    assert write(0, np.uint8) == 0


def test_channels_of_arrays_are_not_dropped(folders):
    preds, masks, pairs = folders
    for k, (prob, _) in enumerate(pairs):
        np.save(preds / f'Misc_{k}.npy', np.stack([1 - prob, prob], axis=-1))
    with pytest.raises(UserError, match=r'Misc_0.npy: found an array of shape \(40, 30, 2\).*save the one'):
        score_folder(preds, masks)


def test_a_scaled_mask_is_fitted_and_a_padded_one_is_not(folders):
    preds, masks, pairs = folders
    twice = pairs[0][1].repeat(2, axis=0).repeat(2, axis=1)
    expected = score_folder(preds, masks)[0].compute()
    cv2.imwrite(str(masks / 'Misc_0_pixels0.png'), twice)
    assert str(score_folder(preds, masks)[0].compute()) == str(expected)
    cv2.imwrite(str(masks / 'Misc_0_pixels0.png'), np.pad(pairs[0][1], ((0, 1), (0, 1))))
    with pytest.raises(UserError, match='its mask 31 × 41'):
        score_folder(preds, masks)


def test_comparison_finds_the_spoiled_one(folders, tmp_path):
    preds, masks, pairs = folders
    worse = tmp_path / 'worse'
    worse.mkdir()
    for k, (prob, _) in enumerate(pairs):
        np.save(worse / f'Misc_{k}.npy', np.zeros_like(prob) if k == 4 else prob)
    report = compare_folders(preds, worse, masks)
    assert report['images'][0]['name'] == 'Misc_4'
    assert report['images'][0]['difference'] < 0
    assert all(row['difference'] == 0 for row in report['images'][1:])
    assert report['metrics']['IoU']['difference'] < 0
    (worse / 'Misc_0.npy').unlink()
    with pytest.raises(UserError, match='B: Misc_0 has no prediction'):
        compare_folders(preds, worse, masks)
    report = compare_folders(preds, worse, masks, allow_missing=True)
    assert len(report['images']) == 5
    # a protocol without an nIoU has none to compare
    assert [*compare_folders(preds, preds, masks, 'dnanet')['metrics']] == ['IoU', 'Pd', 'Fa']
    with pytest.raises(UserError, match='one protocol'):
        compare_folders(preds, worse, masks, 'native,abc')


def test_a_comparison_without_targets_is_one_of_false_alarms(tmp_path, run):
    for folder, speck in (('masks', 0), ('a', 0), ('b', 0.9)):
        (tmp_path / folder).mkdir()
        for k in range(5):
            values = np.zeros((30, 40), np.float32)
            values[5:7, 5:7] = speck if k == 2 else 0
            if folder == 'masks':
                cv2.imwrite(str(tmp_path / folder / f'{k}.png'), np.uint8(values))
            else:
                np.save(tmp_path / folder / f'{k}.npy', values)
    a, b, masks = (tmp_path / folder for folder in ('a', 'b', 'masks'))
    command = ('evaluate', '--compare', a, b, masks, '--out', tmp_path)
    code, out, err = run(*command, '--protocol', 'acm')
    assert (code, (tmp_path / 'compare.json').exists()) == (2, False)
    assert 'no target in these masks, and protocol acm counts no false alarms; take native' in err
    code, out, err = run(*command)
    assert code == 0, err
    report = json.loads((tmp_path / 'compare.json').read_text())
    assert [*report['metrics']] == ['Fa']
    assert report['metrics']['Fa']['b'] == report['results']['B']['Fa'] == 4 / (5 * 1200)
    assert 'nan' not in out


@pytest.mark.parametrize(('name', 'limit'), [('area', 10), ('scr', 6.0), ('rank', 24.0)])
def test_components_below_a_limit_do_not_count(folders, tmp_path, name, limit):
    preds, masks, pairs = folders
    kept, logits, images = [], tmp_path / 'logits', tmp_path / 'images'
    logits.mkdir()
    images.mkdir()
    for k, (prob, _) in enumerate(pairs):
        image = np.uint8(90 + np.indices(prob.shape).sum(0) % 5 + 40 * (prob > 0.6))
        cv2.imwrite(str(images / f'Misc_{k}.png'), image)
        p = np.clip(prob, 1e-6, 1 - 1e-6)
        np.save(logits / f'Misc_{k}.npy', np.log(p / (1 - p)))
        components = find_components(prob > 0.5)
        enough = describe_components(prob, components, image)[name] >= limit
        kept.append(np.isin(components.labels, 1 + np.flatnonzero(enough)))
    truth = [mask for _, mask in pairs]
    expected = evaluate([k.astype(np.float32) for k in kept], truth)
    assert expected['Fa'] < evaluate([prob for prob, _ in pairs], truth)['Fa']
    options = {'least': Least(**{f'min_{name}': limit}), 'image_dir': images}
    for folder in (preds, logits):
        found = score_folder(folder, masks, from_logits=folder == logits, **options)[0].compute()['native']
        for number in ('IoU', 'nIoU', 'Pd', 'Fa', 'false_per_image'):
            assert found[number] == expected[number]
    with pytest.raises(UserError, match=r'look at the images: give their folder by --images'):
        score_folder(preds, masks, least=Least(min_scr=5.0))


def tool(*arguments):
    command = [sys.executable, ROOT / 'tools' / 'evaluate.py', *map(str, arguments)]
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_the_tool(folders, tmp_path):
    preds, masks, pairs = folders
    done = tool(preds, masks, '--protocol', 'native,abc', '--size', 32, '--out', tmp_path / 'out')
    assert done.returncode == 0, done.stderr
    assert 'native' in done.stdout
    report = json.loads((tmp_path / 'out' / 'metrics.json').read_text())
    assert report['schema'] == 1
    assert report['results']['native']['IoU'] == pytest.approx(evaluate(*zip(*pairs, strict=True))['IoU'])
    assert report['results']['abc']['pixels'] == 6 * 32 * 32
    assert len((tmp_path / 'out' / 'per_image.csv').read_text().splitlines()) == 1 + 2 * 6
    done = tool(preds, masks, '--min-area', 4, '--out', tmp_path / 'out')
    assert 'left out: components with area below 4' in done.stdout
    assert json.loads((tmp_path / 'out' / 'metrics.json').read_text())['least']['min_area'] == 4
    assert (
        '--threshold 0.4: --min-area tells' in tool(preds, masks, '--min-area', 4, '--threshold', 0.4).stderr
    )
    for more in (('--min-scr', 2), ('--fa-budget', 1e-5), ('--boxes',), ('--images', preds)):
        assert f'{more[0]} is not for --compare' in tool('--compare', preds, preds, masks, *more).stderr


def test_auc_and_ap_are_left_out_where_ties_leave_it_open(folders, tmp_path, run):
    preds, masks, pairs = folders
    assert 'AUC %' in run('evaluate', preds, masks)[1]
    for k, (prob, _) in enumerate(pairs):
        np.save(preds / f'Misc_{k}.npy', np.where(prob < 0.9, 0, prob))
    out = run('evaluate', preds, masks, '--out', tmp_path / 'out')[1]
    assert 'AUC left out, AP left out: many pixels of these maps share the lowest score' in out
    assert 'AUC %' not in out
    found = json.loads((tmp_path / 'out' / 'metrics.json').read_text())['results']['native']
    assert (found['AUC'], found['AP']) == (None, None)


def test_the_tool_says_what_is_wrong_in_one_line(folders):
    preds, masks, _ = folders
    done = tool(preds, masks, '--protocol', 'nativ')
    assert done.returncode == 2
    assert done.stderr.startswith("error: unknown protocol 'nativ'. Did you mean 'native'")
    assert done.stderr.count('\n') == 1


def test_the_protocols_are_listed_by_the_words_of_their_functions():
    done = tool('--list-protocols')
    assert done.returncode == 0, done.stderr
    assert f'matching           greedy: {sentence(MATCHINGS["greedy"])}' in done.stdout
    assert [line.split(':')[0] for line in done.stdout.splitlines() if line[0] != ' '] == list(PROTOCOLS)
