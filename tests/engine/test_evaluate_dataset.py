"""madnet evaluate on a data set's own lists and masks, at other thresholds and sizes."""

import cv2
import numpy as np
import pytest

from madnet.datasets.catalogue import split_ids
from madnet.engine.evaluate import compare, evaluate_folder
from madnet.errors import UserError
from madnet.evaluation import evaluate, make_protocol, score_folder
from madnet.evaluation.arrays import resize_mask
from madnet.files import plain
from madnet.records import MetricsFile, read_per_image


@pytest.fixture
def mine(tmp_path):
    """A folder of one's own with lists, and score maps of all its images: (data set, maps)."""
    rng = np.random.default_rng(0)
    root, maps = tmp_path / 'mine', tmp_path / 'maps'
    for folder in (root / 'images', root / 'masks', maps):
        folder.mkdir(parents=True)
    for k in range(12):
        mask = np.zeros((48, 80), np.uint8)
        y, x = rng.integers(5, 40, 2)
        mask[y : y + 3, x : x + 3] = 255
        cv2.imwrite(str(root / f'images/{k}.png'), rng.integers(0, 255, mask.shape, np.uint8))
        cv2.imwrite(str(root / f'masks/{k}.png'), mask)
        score = rng.random(mask.shape).astype(np.float32) * 0.35 + (mask > 0) * np.float32(0.1 * (k % 5))
        np.save(maps / f'{k}.npy', score)
    (root / 'train.txt').write_text('\n'.join(map(str, range(8))))
    (root / 'test.txt').write_text('\n'.join(map(str, range(8, 12))))
    return root, maps


def test_a_split_is_scored_with_its_own_masks(mine, tmp_path, capsys):
    root, maps = mine
    found = evaluate_folder(str(maps), None, 'native', str(tmp_path / 'out'), dataset=str(root))
    ids = [str(k) for k in range(8, 12)]
    expected = score_folder(maps, root / 'masks', ids=ids, image_dir=root / 'images')[0]
    assert str(found.results['native']) == str(plain(expected.compute()['native']))
    assert '4 images' in capsys.readouterr().out
    assert str(
        evaluate_folder(str(maps), None, 'native', None, dataset=str(root), split='trainval').results
    ) == str(
        plain(
            score_folder(maps, root / 'masks', ids=map(str, range(8)), image_dir=root / 'images')[0].compute()
        )
    )
    both = compare(str(maps), str(maps), None, 'native', None, dataset=str(root))
    assert sorted(row['name'] for row in both['images']) == sorted(ids)


def write_other(root, ids):
    """A second set, in folders by part, and its score maps: (data set, maps)."""
    rng = np.random.default_rng(1)
    mask = np.zeros((40, 40), np.uint8)
    mask[8:11, 8:11] = 255
    for part in ('trainval', 'test'):
        for n, i in enumerate(ids):
            picture = rng.integers(0, 255, mask.shape, np.uint8)
            for folder, pixels in (('images', picture), ('masks', np.roll(mask, 5 * n, 0))):
                (root / part / folder).mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(root / part / folder / f'{part[0]}{i}.png'), pixels)
    maps = root.with_name(f'{root.name}_maps')
    maps.mkdir()
    for path in root.rglob('images/*.png'):
        np.save(maps / f'{path.stem}.npy', rng.random(mask.shape).astype(np.float32) * 0.6)
    return root, maps


def test_several_sets_have_a_row_each_and_one_over_all(mine, tmp_path, capsys):
    root, maps = mine
    other, other_maps = write_other(tmp_path / 'other', range(3))
    scores = tmp_path / 'scores'
    scores.mkdir()
    (scores / 'mine').symlink_to(maps)
    (scores / 'other').symlink_to(other_maps)
    both = f'{root},{other}'
    found = evaluate_folder(str(scores), None, 'native,acm', str(tmp_path / 'out'), dataset=both)
    printed = capsys.readouterr().out
    for label in ('mine', 'other', 'all'):
        assert sum(line.startswith(label + '  ') for line in printed.splitlines()) == 2
    alone = [
        evaluate_folder(str(m), None, 'native,acm', None, dataset=str(d))
        for m, d in ((maps, root), (other_maps, other))
    ]
    assert [str(one.results) for one in found.sets.values()] == [str(one.results) for one in alone]
    assert [one.dataset.split for one in found.sets.values()] == ['test', 'test']
    assert found.dataset.name == 'mine + other'
    assert found.dataset.images == 4 + 3
    for count in ('targets', 'matched', 'false_pixels', 'pixels'):
        assert found.results['native'][count] == sum(one.results['native'][count] for one in alone)
    rows = read_per_image(tmp_path / 'out' / 'per_image.csv')
    assert [r['dataset'] for r in rows] == ['mine'] * 8 + ['other'] * 6
    # images of both in one folder, since no two have the same id
    flat = tmp_path / 'flat'
    flat.mkdir()
    for path in [*maps.iterdir(), *other_maps.iterdir()]:
        (flat / path.name).symlink_to(path)
    assert str(evaluate_folder(str(flat), None, 'native,acm', None, dataset=both).results) == str(
        found.results
    )
    # the threshold is that of the training parts of both together
    chosen = evaluate_folder(str(scores), None, 'native', None, dataset=both, threshold='best:trainval')
    assert "on 'trainval', 11 images" in chosen.threshold_text


def test_folders_of_one_name_have_their_names_of_the_test(mine, tmp_path, run):
    root, _ = mine
    write_other(tmp_path / 'elsewhere' / 'mine', range(3))
    both = ('--dataset', f'{root},{tmp_path / "elsewhere" / "mine"}')
    outs = tmp_path / 'tested', tmp_path / 'evaluated'
    code, _, err = run('test', 'classical', '--method', 'tophat', *both, '--out', outs[0], '--save-scores')
    assert code == 0, err
    code, _, err = run('evaluate', outs[0] / 'scores', *both, '--out', outs[1])
    assert code == 0, err
    tested, evaluated = (MetricsFile.read(out / 'metrics.json').sets for out in outs)
    assert [*tested] == [*evaluated] == ['mine test #1', 'mine test #2']
    named = [[(r['dataset'], r['name']) for r in read_per_image(out / 'per_image.csv')] for out in outs]
    assert named[0] == named[1]


def test_several_sets_that_cannot_be_scored_together(mine, tmp_path):
    root, maps = mine
    other, _ = write_other(tmp_path / 'other', range(3))
    for path in (other / 'test').rglob('t*.png'):
        path.rename(path.with_name(path.name.replace('t', '', 1).replace('0', '8')))  # ids of the other set
    both = f'{root},{other}'
    with pytest.raises(UserError, match=r'1 images of other have ids .*\(8\); put the maps of each into'):
        evaluate_folder(str(maps), None, 'native', None, dataset=both)
    (maps / 'mine').mkdir()
    with pytest.raises(UserError, match='no file in'):
        evaluate_folder(str(maps), None, 'native', None, dataset=both)
    with pytest.raises(UserError, match='--ids is for one data set'):
        evaluate_folder(str(maps), None, 'native', None, dataset=both, ids=['8'])
    with pytest.raises(UserError, match='--compare takes one data set'):
        compare(str(maps), str(maps), None, 'native', None, dataset=both)
    with pytest.raises(UserError, match='beside MASK_DIR expected one data set'):
        evaluate_folder(str(maps), str(root / 'masks'), 'native', None, dataset=both)


def test_the_shipped_lists_serve_beside_other_masks(data_root, tmp_path):
    maps = tmp_path / 'maps'
    maps.mkdir()
    np.save(maps / 'none.npy', np.zeros((4, 4), np.float32))
    with pytest.raises(UserError, match='86 files do not fit: Misc_110 has no prediction'):
        evaluate_folder(str(maps), str(data_root / 'NUAA-SIRST/masks'), 'native', None, dataset='nuaa')
    with pytest.raises(UserError, match='beside MASK_DIR expected one data set of the catalogue'):
        evaluate_folder(str(maps), str(tmp_path), 'native', None, dataset='unknown')


@pytest.fixture
def copy_of_nuaa(tmp_path):
    """``home/NUAA-SIRST`` with the ids of its test part, and score maps of them."""
    root, maps = tmp_path / 'home/NUAA-SIRST', tmp_path / 'maps'
    for folder in (root / 'images', root / 'masks', maps):
        folder.mkdir(parents=True)
    ids = split_ids('NUAA-SIRST', 'test')
    mask = np.zeros((16, 16), np.uint8)
    mask[4:7, 4:7] = 255
    for path in [folder / f'{i}.png' for i in ids for folder in (root / 'images', root / 'masks', maps)]:
        cv2.imwrite(str(path), mask)
    return root, maps, ids


def test_a_set_has_its_own_name_whatever_its_ids_are(copy_of_nuaa, tmp_path):
    root, maps, ids = copy_of_nuaa

    def words(*where, **options):
        return evaluate_folder(str(maps), *where, 'native', None, **options).dataset.words

    known = 'NUAA-SIRST idx_427 test'
    assert words(str(root / 'masks')) == words(None, dataset=str(root)) == known
    assert words(None, dataset=str(root), ids=[*ids]) == known
    assert words(str(root / 'masks'), dataset='nuaa') == known

    foggy = root.rename(tmp_path / 'foggy')
    (foggy / 'test.txt').write_text('\n'.join(ids))
    assert words(str(foggy / 'masks')) == str(foggy / 'masks')
    assert words(None, dataset=str(foggy)).startswith('foggy ')
    assert words(None, dataset=str(foggy), ids=[*ids]) == 'foggy'
    named = foggy.rename(tmp_path / 'home/NUAA-SIRST')
    (named / 'dataset.json').write_text('{"name": "fog"}')
    assert words(None, dataset=str(named)).startswith('fog ')
    assert words(str(named / 'masks')) == str(named / 'masks')


def test_boxes_belong_to_native(mine, capsys):
    root, maps = mine
    options = {'out': None, 'dataset': str(root), 'boxes': True}
    evaluate_folder(str(maps), None, 'native,basicirstd', **options)
    printed = capsys.readouterr().out
    assert 'native: AP50 ' in printed
    assert 'basicirstd: AP50' not in printed
    with pytest.raises(UserError, match='--boxes: found protocol basicirstd, expected native'):
        evaluate_folder(str(maps), None, 'basicirstd', **options)


def test_thresholds(mine, tmp_path, capsys):
    root, maps = mine
    names = [str(k) for k in range(8, 12)]
    scores = [np.load(maps / f'{n}.npy') for n in names]
    masks = [cv2.imread(str(root / f'masks/{n}.png'), 0) for n in names]
    found = evaluate_folder(str(maps), None, 'native,acm', None, dataset=str(root), threshold='0.3')
    expected = evaluate(scores, masks, make_protocol('native', prediction=0.3))
    assert {k: found.results['native'][k] for k in ('IoU', 'nIoU', 'Fa')} == {
        k: expected[k] for k in ('IoU', 'nIoU', 'Fa')
    }
    assert found.results['acm']['IoU'] == pytest.approx(expected['IoU'])
    assert 'threshold 0.3\n' in capsys.readouterr().out

    found = evaluate_folder(str(maps), None, 'native', None, dataset=str(root), threshold='best:trainval')
    trained = score_folder(maps, root / 'masks', ids=map(str, range(8)))[0]
    assert found.threshold == trained.counted('native').histogram.best_threshold()[0]
    assert "chosen by IoU on 'trainval', 8 images" in capsys.readouterr().out
    with pytest.raises(UserError, match='flatters'):
        evaluate_folder(str(maps), None, 'native', None, dataset=str(root), threshold='best:test')
    (tmp_path / 'tested').mkdir()
    for k in range(8, 12):
        (tmp_path / 'tested' / f'{k}.npy').write_bytes((maps / f'{k}.npy').read_bytes())
    options = {'dataset': str(root), 'threshold': 'best:trainval'}
    with pytest.raises(UserError, match=r"'trainval' needs the score maps .*0 has no prediction"):
        evaluate_folder(str(tmp_path / 'tested'), None, 'native', None, **options)
    with pytest.raises(UserError, match=r"on 'val' needs --dataset"):
        evaluate_folder(str(maps), str(root / 'masks'), 'native', None, threshold='best:val')
    with pytest.raises(UserError, match='expected MASK_DIR, or --dataset'):
        evaluate_folder(str(maps), None, 'native', None)


@pytest.mark.parametrize('logits', [False, True])
def test_maps_at_the_base_size_are_scored_at_it(mine, tmp_path, logits):
    root, maps = mine
    small = tmp_path / 'small'
    small.mkdir()
    scores, masks = [], []
    for path in sorted(maps.glob('*.npy')):
        score = cv2.resize(np.load(path), (64, 64)) * 2
        np.save(small / path.name, score - 0.5 if logits else score.clip(0, 1))
        scores.append(np.load(small / path.name))
        masks.append(resize_mask(cv2.imread(str(root / f'masks/{path.stem}.png'), 0), (64, 64)))
    options = {'from_logits': logits, 'size': (64, 64)}
    found = evaluate_folder(str(small), str(root / 'masks'), 'acm,abc', None, **options).results
    for protocol in ('acm', 'abc'):
        expected = evaluate(scores, masks, protocol, from_logits=logits)
        assert found[protocol]['IoU'] == expected['IoU'] > 0
        assert found[protocol]['nIoU'] == expected['nIoU']
    with pytest.raises(UserError, match='0 is 64 × 64, its mask 80 × 48'):
        evaluate_folder(str(small), str(root / 'masks'), 'acm,native', None, **options)
