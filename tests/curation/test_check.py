import json
import shutil

import cv2
import numpy as np
import pytest

from madnet.curation.inspection import inspect
from madnet.datasets import SIRSTDataset

IDS = [f'a{n}' for n in range(6)]
LISTS = {'train.txt': IDS[:4], 'test.txt': IDS[4:]}


def kinds(found):
    return {(f.severity, f.kind): f.which for f in found.findings}


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.asarray(pixels))


def read(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


@pytest.fixture
def sound(make_set):
    return make_set('mine', IDS, lists=LISTS)


@pytest.fixture
def damaged(make_set):
    """One defect of each kind."""
    ids = [f'a{n:02d}' for n in range(14)]
    root = make_set('mine', ids, lists={'train.txt': ids[:9], 'test.txt': ids[8:]})
    (root / 'images/a00.png').write_bytes(b'no image')
    (root / 'masks/a01.png').unlink()
    write(root / 'masks/a02.png', np.zeros((20, 20), np.uint8))
    mask = read(root / 'masks/a03.png')
    write(root / 'masks/a03.png', mask // 255)
    write(root / 'masks/a04.png', 255 - mask)
    grey = mask.copy()
    grey[1, 1] = 90
    write(root / 'masks/a05.png', grey)
    write(root / 'masks/a06.png', mask * 0)
    write(root / 'images/a07.png', read(root / 'images/a10.png'))  # in the other part
    write(root / 'masks/a09.png', cv2.resize(mask, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST))
    write(root / 'images/a11.png', read(root / 'images/a11.png')[..., None].repeat(3, 2))
    colour = read(root / 'images/a12.png')[..., None].repeat(3, 2)
    colour[3, 3, 0] ^= 8
    write(root / 'images/a12.png', colour)
    edge = mask * 0
    edge[0, 5] = 255
    write(root / 'masks/a13.png', edge)
    write(root / 'masks/lonely.png', mask)
    (root / 'images/frame.webm').write_bytes(b'')
    return root


def test_a_sound_set_has_nothing_to_say(sound, run):
    found = inspect(str(sound))
    assert found.findings == []
    assert found.listed == {'lists': {'train': 4, 'test': 2}}
    code, out, _ = run('dataset', 'check', sound)
    assert code == 0
    assert '6 images, 40 × 32' in out
    assert '6 targets, area 9 / 9 / 9' in out
    assert out.endswith('\n\nnothing to mend\n')


def test_every_kind(damaged, run):
    found = kinds(inspect(str(damaged)))
    assert found == {
        ('error', 'unreadable image'): ('a00',),
        ('error', 'mask missing'): ('a01',),
        ('error', 'mask of another size'): ('a02',),
        ('error', 'inverted'): ('a04',),
        ('error', 'ids in two parts'): ('a08',),
        ('warning', 'image missing'): ('masks/lonely.png',),
        ('warning', 'files not read'): ('images/frame.webm',),
        ('warning', 'mask without a value above 127'): ('a03',),
        ('warning', 'targets depend on the threshold'): ('a05 (2 for 1)',),
        ('warning', 'mask of another size'): ('a09 (80 × 64 for 40 × 32)',),
        ('warning', 'exact duplicates across parts'): ('a10',),
        ('note', 'grey masks'): ('a05',),
        ('note', 'empty masks'): ('a06',),
        ('note', 'coloured'): ('a12',),
        ('note', 'grey stored as colour'): ('a11',),
        ('note', 'one-pixel targets'): ('a13',),
        ('note', 'targets at the border'): ('a04', 'a13'),
    }
    code, out, _ = run('dataset', 'check', damaged, '--json')
    assert code == 1
    record = json.loads(out)
    assert (record['images'], record['usable']) == (14, 11)
    order = [('error', 'warning', 'note').index(f['severity']) for f in record['findings']]
    assert order == sorted(order)


@pytest.mark.parametrize('empty', ['train.txt', 'test.txt'])
def test_an_empty_list_is_an_error_that_no_copy_is_made_of(make_set, run, tmp_path, empty):
    root = make_set('mine', IDS, lists={**LISTS, empty: ['']})
    code, out, _ = run('dataset', 'check', root)
    assert (code, f'broken list  holds no id for {empty[:-4]}; expected such as' in out) == (1, True), out
    out = tmp_path / 'out'
    for command in (('check', root, '--fix', out), ('prepare', 'mine', root, '--out', out)):
        code, _, err = run('dataset', *command)
        assert (code, f'mine, lists lists: holds no id for {empty[:-4]}' in err) == (2, True), err
    code, _, err = run('dataset', 'convert', root, '--to', 'coco', '--out', out)
    assert code == 2
    assert not out.exists()


def test_a_part_of_which_nothing_can_be_used_is_refused(sound, run, tmp_path):
    for image_id in LISTS['test.txt']:
        (sound / f'masks/{image_id}.png').unlink()
    code, _, err = run('dataset', 'check', sound, '--fix', tmp_path / 'good')
    assert (code, 'lists lists: found no image for test that can be used' in err) == (2, True), err
    assert not (tmp_path / 'good').exists()


def test_what_is_safe_is_mended_in_a_copy(damaged, run, tmp_path):
    before = sorted(p.stat().st_mtime_ns for p in damaged.rglob('*'))
    code, out, _ = run('dataset', 'check', damaged, '--fix', tmp_path / 'good')
    assert code == 1
    (line,) = (line for line in out.splitlines() if '× NOT mended' in line)
    assert line.startswith('  1 × NOT mended, left out: mask without a value above 127')
    assert line.endswith(': a03')  # the others have 255
    assert '1 × inverted mask turned round: a04' in out
    assert before == sorted(p.stat().st_mtime_ns for p in damaged.rglob('*'))
    again = kinds(inspect(str(tmp_path / 'good')))
    rest = ('not listed', 'exact duplicates')
    assert set(again) == {
        ('note', kind)
        for kind in ('empty masks', 'coloured', 'one-pixel targets', 'targets at the border', *rest)
    }
    data = SIRSTDataset(tmp_path / 'good', 'all')
    assert data.image_ids == [f'a{n:02d}' for n in range(14) if n > 3]
    true = read(damaged / 'masks/a10.png')
    for i in ('a04', 'a05', 'a09'):
        np.testing.assert_array_equal(data.read_sample(data.image_ids.index(i))[1], true)
    train, test = (SIRSTDataset(tmp_path / 'good', split).image_ids for split in ('trainval', 'test'))
    assert train == ['a04', 'a05', 'a06']
    assert test == [f'a{n:02d}' for n in range(8, 14)]
    record = json.loads((tmp_path / 'good' / 'dataset.json').read_text())
    assert record['name'] == 'mine'
    assert len(record['sha256']) == 2 * 10 + 2
    assert record['made']['source'] == str(damaged)
    # what has a name is not overwritten
    code, _, err = run('dataset', 'check', damaged, '--fix', tmp_path / 'good')
    assert code == 2
    assert 'is there already' in err


def test_a_copy_in_folders_of_parts_trains_on_no_test_image(make_set, tmp_path, run):
    for part in ('train', 'test'):
        root = make_set('parts', IDS[:3], f'{part}/images/{{}}.png', f'{part}/masks/{{}}.png')
    write(root / 'test/images/a1.png', read(root / 'train/images/a2.png'))
    write(root / 'train/images/a0.png', 255 - read(root / 'train/images/a0.png'))
    code, out, err = run('dataset', 'check', root, '--json', '--fix', tmp_path / 'good')
    assert code == 0, err
    assert json.loads(out)['images'] == 6
    assert '1 × out of the training part, because it is in the test part: trainval/a2' in err
    assert SIRSTDataset(tmp_path / 'good', 'trainval').image_ids == ['a0', 'a1']
    assert SIRSTDataset(tmp_path / 'good', 'test').image_ids == IDS[:3]


def test_a_copy_that_fails_leaves_nothing(damaged, tmp_path, monkeypatch, run):
    monkeypatch.setattr('madnet.curation.mending._write_lists', lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run('dataset', 'check', damaged, '--fix', tmp_path / 'out' / 'good')
    assert list((tmp_path / 'out').iterdir()) == []


def test_low_values_are_told_as_they_are_stored(sound):
    for path in (sound / 'masks').iterdir():
        write(path, read(path).astype(np.uint16) // 255 * 1000)
    (finding,) = (f for f in inspect(str(sound)).findings if f.kind == 'mask without a value above 127')
    assert finding.what.startswith('values 0, 1000:')


def test_masks_of_0_and_1_are_an_error_and_mended(sound, tmp_path, run):
    for path in (sound / 'masks').iterdir():
        write(path, read(path) // 255)
    assert ('error', 'mask without a value above 127') in kinds(inspect(str(sound)))
    assert run('dataset', 'check', sound, '--fix', tmp_path / 'good')[0] == 0
    assert inspect(str(tmp_path / 'good')).targets == 6


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        (lambda m: np.where(m > 127, 2, 1), 'of two low values: the higher is target'),
        (lambda m: np.where(m > 127, 0, 1), 'inverted mask of two low values turned round'),
    ],
)
def test_low_values_are_told_apart_as_they_are(sound, tmp_path, run, change, said):
    before = {p.name: read(p) > 127 for p in (sound / 'masks').iterdir()}
    for path in (sound / 'masks').iterdir():
        write(path, change(read(path)).astype(np.uint8))
    code, out, _ = run('dataset', 'check', sound, '--fix', tmp_path / 'good')
    assert (code, said in out) == (0, True)
    after = {p.name: read(p) > 127 for p in (tmp_path / 'good/masks').iterdir()}
    assert all((before[name] == after[name]).all() for name in before)


@pytest.mark.parametrize('command', [('check', '--fix'), ('prepare', 'mine', '--out')])
def test_targets_of_values_that_nobody_named_are_no_clean_images(sound, tmp_path, run, command):
    for name in ('a0', 'a5'):
        write(sound / f'masks/{name}.png', read(sound / f'masks/{name}.png') // 255)
    name, *before, out = command
    code, said, _ = run('dataset', name, *before, sound, out, tmp_path / 'good')
    assert (code, '2 × NOT mended, left out: mask without a value' in said) == (1, True), said
    assert SIRSTDataset(tmp_path / 'good', 'all').image_ids == ['a1', 'a2', 'a3', 'a4']
    # what the line says to do does it
    masks = 'convert', sound, '--to', 'madnet', '--mask-values', 0, 1, 255, '--out', tmp_path / 'all'
    assert '--mask-values' in said
    assert run('dataset', *masks)[0] == 0
    assert inspect(str(tmp_path / 'all')).targets == 6
    for path in (sound / 'masks').iterdir():  # instances
        write(path, np.arange(32 * 40).reshape(32, 40) % 4)
    code, _, err = run('dataset', name, *before, sound, out, tmp_path / 'none')
    assert (code, err.count('\n'), '6 × NOT mended' in err) == (2, 1, True), err
    assert not (tmp_path / 'none').exists()


def test_colours_that_a_png_cannot_hold_stay_as_they_are(make_set, tmp_path, run):
    root = make_set('mine', IDS, lists=LISTS)
    for path in list((root / 'images').iterdir()):
        warm = read(path).astype(np.float32)[..., None].repeat(3, 2) / 9 + 280
        np.save(path.with_suffix('.npy'), warm)
        path.unlink()
    run('dataset', 'check', root, '--fix', tmp_path / 'good')
    for name in IDS:
        kept = np.load(tmp_path / 'good/images' / f'{name}.npy')
        np.testing.assert_array_equal(kept, np.load(root / 'images' / f'{name}.npy'))


def test_raw_frames_are_not_copied_without_their_description(make_set, tmp_path, run):
    root = make_set('mine', IDS, lists=LISTS)
    for path in list((root / 'images').iterdir()):
        pixels = read(path)
        pixels.tofile(path.with_suffix('.raw'))
        path.unlink()
    shape = {'height': pixels.shape[0], 'width': pixels.shape[1], 'dtype': 'uint8'}
    (root / 'images/raw.json').write_text(json.dumps(shape))
    code, _, err = run('dataset', 'check', root, '--fix', tmp_path / 'good')
    assert (code, 'nothing without their description' in err) == (2, True)
    assert not (tmp_path / 'good').exists()


def test_near_duplicates_and_lists(make_set):
    lists = {
        'A/train.txt': IDS[:4],
        'A/test.txt': IDS[4:],
        'B/trainval.txt': IDS[:4],
        'B/test.txt': IDS[:3:-1],
        'C/train.txt': IDS[1:],
        'C/test.txt': [*IDS[:1], 'gone'],
        'D/train.txt': ['a0', 'a0'],
    }
    root = make_set('mine', IDS, lists=lists)
    # a smooth image, for a thumbnail of noise has nothing in common with its neighbour's
    wave = (127 + 100 * np.sin(np.linspace(0, 7, 40 * 32))).reshape(32, 40).astype(np.uint8)
    write(root / 'images/a0.png', wave)
    write(root / 'images/a4.png', wave + 2)
    inspection = inspect(str(root))
    found = kinds(inspection)
    assert inspection.same == {'B': 'A'}
    assert found['error', 'broken list'] == ('D',)
    assert found['error', 'not there'] == ('test/gone',)
    whats = [(f.what.split()[3], f.which) for f in inspection.findings if f.kind.startswith('near')]
    assert whats == [('A', ('a4',)), ('C', ('a0',))]
    only = inspect(str(root), 'A')
    assert list(only.splits) == ['A']


def test_sequences_are_checked(make_set):
    ids = [f'seq_{s}/{f}' for s in range(3) for f in range(2)]
    root = make_set('mine', ids, lists={'train.txt': ['seq_0', 'seq_1'], 'test.txt': ['seq_2']})
    shutil.copy(root / 'images/seq_0/0.png', root / 'images/seq_2/1.png')
    found = inspect(str(root))
    assert found.listed == {'lists': {'train': 4, 'test': 2}}
    assert kinds(found) == {('warning', 'exact duplicates across parts'): ('seq_2/1',)}


def test_values_of_other_types(sound):
    deep = (np.arange(32 * 40).reshape(32, 40) + 5000).astype(np.uint16)
    write(sound / 'images/a0.png', deep)
    for name, image in (('a1', deep / 20), ('a2', np.full((32, 40), np.nan))):
        (sound / f'images/{name}.png').unlink()
        np.save(sound / f'images/{name}.npy', image.astype(np.float32))
    inspection = inspect(str(sound))
    found = kinds(inspection)
    assert found['note', '16 bit'] == ('a0',)
    assert found['warning', 'values of no fixed range'] == ('a1',)
    assert found['error', 'unreadable image'] == ('a2',)
    assert 'NaN' in inspection.facts['', 'a2'].trouble['unreadable image']
    assert any('values 250 to 313.95' in f.what for f in inspection.findings)
    assert any('values 5000 to 6279; prepare --value-range auto' in f.what for f in inspection.findings)


def test_a_name_means_the_same_to_every_command(make_set, run, tmp_path, monkeypatch):
    """The set of the catalogue, as in training; a folder of that name is told by a slash."""
    monkeypatch.setenv('MADNET_DATA_ROOT', str(tmp_path / 'home'))
    known = make_set('home/NUAA-SIRST', IDS, lists=LISTS)
    make_set('here/nuaa', IDS[:2])
    monkeypatch.chdir(tmp_path / 'here')
    assert f'NUAA-SIRST: {known}' in run('dataset', 'check', 'nuaa')[1]
    assert '2 images' in run('dataset', 'check', './nuaa')[1]
    arguments = ('--to', 'coco', '--out', tmp_path / 'out')
    assert '6 images' in run('dataset', 'convert', 'nuaa', '--split-set', 'folder', *arguments)[1]
    code, out, _ = run('dataset', 'prepare', 'nuaa', 'nuaa', '--out', tmp_path / 'mine')
    assert (code, '2 images with masks' in out) == (0, True)


def test_bad_sources(run, tmp_path):
    for command in ('check', 'stats', 'browse'):
        code, _, err = run('dataset', command, '')  # not the current folder
        assert (code, 'found an empty name' in err) == (2, True), err
    assert run('dataset', 'check', tmp_path, '--examples', '0')[0] == 2
    code, _, err = run('dataset', 'check', 'NUDT-SIRTS')
    assert code == 2
    assert err.count('\n') == 1
    code, _, err = run('dataset', 'check', tmp_path)
    assert code == 2
    assert 'Layouts that would do' in err


#: Set → (images, targets, {lists: {split: images}}, {kind: number of the first}).
REAL = {
    'NUAA-SIRST': (
        427,
        533,
        {'idx_427': {'train': 256, 'val': 85, 'trainval': 341, 'test': 86}},
        {'mask of another size': 1, 'coloured': 159},
    ),
    'NUDT-SIRST': (
        1327,
        1863,
        {'basicirstd': {'trainval': 663, 'test': 664}, 'irsam': {'trainval': 1061, 'test': 266}},
        {'ids in two parts': 34, 'near-duplicates across parts': 32, 'one-pixel targets': 2, 'coloured': 7},
    ),
    'IRSTD-1K': (
        1001,
        1492,
        {'basicirstd': {'trainval': 800, 'test': 201}},
        {
            'grey masks': 85,
            'targets depend on the threshold': 3,
            'near-duplicates across parts': 5,
            'one-pixel targets': 10,
            'coloured': 3,
        },
    ),
    'SIRST-AUG': (886, None, {'folders': {'trainval': 8525, 'test': 545}}, {'not there': 8184}),
}


@pytest.mark.slow
@pytest.mark.parametrize('name', REAL)
def test_real_sets_have_the_defects_that_are_known(data_root, name):
    import time

    if not (data_root / name).is_dir():
        pytest.skip(f'{name} is not at hand')
    images, targets, lists, defects = REAL[name]
    begin = time.process_time()
    found = inspect(name)
    assert time.process_time() - begin < 60
    assert len(found.facts) == images
    assert targets in (None, found.targets)
    for key, counts in lists.items():
        assert found.listed[key] == counts
    first = {f.kind: f for f in reversed(found.findings)}
    assert {kind: len(first[kind].which) for kind in defects} == defects
    if name == 'NUAA-SIRST':
        assert first['mask of another size'].which == ('Misc_111 (592 × 400 for 325 × 220)',)
        assert first['lists that cross'].which[0].startswith('idx_427 (44 of basicirstd')
    if name == 'IRSTD-1K':
        ids = [w.split()[0] for w in first['targets depend on the threshold'].which]
        assert ids == ['XDU0', 'XDU325', 'XDU337']
