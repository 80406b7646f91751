"""``madnet dataset stats``: the page, the JSON, and what the user reads."""

import base64
import json
import re

import numpy as np
import pytest
from PIL import Image

from madnet.curation.sources import open_parts
from madnet.errors import UserError
from tests.curation.conftest import write_set


@pytest.fixture
def stats(run, tmp_path):
    """Runs it; gives exit code, output, error, page and JSON."""

    def call(*args):
        code, out, err = run('dataset', 'stats', *args, '--out', tmp_path / 'out')
        page, found = tmp_path / 'out/index.html', tmp_path / 'out/statistics.json'
        return code, out, err, page, json.loads(found.read_text()) if found.exists() else None

    return call


def test_two_sets_side_by_side(stats, two_sets):
    code, out, err, page, found = stats(*two_sets)
    assert (code, err) == (0, '')
    assert [(p['name'], p['split'], p['images']) for p in found['parts']] == [
        (name, split, 12) for name in ('small', 'large') for split in ('trainval', 'test')
    ]
    assert [p['quantiles']['area'] for p in found['parts']] == [[4, 4, 4]] * 2 + [[20, 20, 20]] * 2
    assert all(p['measured']['targets'] == 12 for p in found['parts'])
    between = found['comparisons'][0]
    assert (between['first'], between['second'], between['D']['area']) == ('small', 'large', 1)
    assert between['D']['side'] == 0
    assert 'area (median 4 against 20 px, D 1.00)' in between['sentence']
    assert [(c['first'], c['second']) for c in found['comparisons'][1:]] == [
        ('small trainval', 'small test'),
        ('large trainval', 'large test'),
    ]
    assert between['sentence'] in out
    assert between['sentence'].partition(': ')[2] in page.read_text()


def test_the_page_needs_nothing_from_elsewhere(stats, two_sets):
    _, _, _, page, _ = stats(*two_sets)
    html = page.read_text()
    assert len(html) < 3e6
    figures = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', html)
    # 14 curves, the spectrum, a map for each set
    assert len(figures) == 14 + 1 + 2
    for figure in figures:
        svg = base64.b64decode(figure).decode()
        assert 'prefers-color-scheme: dark' in svg
        assert not re.search(r'fill: #000000|stroke: #1b1d21', svg)
    bare = re.sub(r'data:image/svg\+xml;base64,[A-Za-z0-9+/=]+', 'DATA', html)
    assert not re.search(r'(https?:)?//|@import|<script|<link', bare)
    ids = set(re.findall(r'id="([\w-]+)"', html))
    assert set(re.findall(r'href="#([\w-]+)"', html)) <= ids
    assert (page.parent / 'statistics.json').is_file()


def test_synthetic_scenes_beside_a_set(stats, two_sets):
    code, _, _, _, found = stats(two_sets[0], '--split', 'all', '--images', '5', '--synthetic', '6')
    assert code == 0
    assert [(p['name'], p['split']) for p in found['parts']] == [('small', 'all'), ('synthetic', 'train')]
    assert [p['measured']['images'] for p in found['parts']] == [5, 5]


def test_sets_of_one_name_stay_apart(tmp_path, monkeypatch):
    """Also where what was typed for the later one is the name of both."""
    monkeypatch.chdir(tmp_path)
    for place in ('a/odd', 'odd', 'synthetic'):
        write_set(tmp_path / place, 4, 2, count=1)
    for values, scenes, names in (
        (['a/odd', 'odd'], None, ['a/odd', 'odd']),
        (['odd', 'a/odd'], None, ['odd', 'a/odd']),
        (['synthetic'], 2, [str(tmp_path / 'synthetic'), 'synthetic']),
    ):
        parts = open_parts(values, ['test'] if scenes is None else (), synthetic=scenes)
        assert list(dict.fromkeys(part.set_name for part in parts)) == names
    (tmp_path / 'link').symlink_to('odd')
    for other in ('odd', './odd', 'link', str(tmp_path / 'odd')):
        with pytest.raises(UserError, match='odd: given more than once'):
            open_parts(['odd', other])


@pytest.mark.parametrize(
    ('lists', 'words'),
    [
        ({'train': 'a\nb\n', 'test': 'b\n'}, "both 'train' and 'test'"),
        ({'train': 'a\n', 'test': 'b\nz\n'}, '(z)'),
        ({'train': 'x\n', 'test': 'z\n'}, '(x)'),
        ({'train': b'\xe9\n', 'test': 'b\n'}, 'train.txt: not a readable list'),
        ({'train_me': 'a\n', 'train_you': 'b\n'}, 'lists of several authors'),
    ],
)
def test_lists_that_cannot_be_used_are_an_error(make_set, lists, words):
    root = make_set('mine', ['a', 'b', 'c'])
    for name, text in lists.items():
        (root / f'{name}.txt').write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=re.escape(words)):
        open_parts([root])


def test_all_images_in_the_place_of_empty_parts_are_told(make_set, capsys):
    root = make_set('mine', ['a', 'b'])
    for name in ('train.txt', 'test.txt'):
        (root / name).touch()
    assert [part.split for part in open_parts([root])] == ['all']
    assert capsys.readouterr().err.count('note: ') == 2


def test_a_flat_folder_without_targets(stats, make_set):
    root = make_set('mine', ['a', 'b', 'c'])
    for path in (root / 'masks').iterdir():
        Image.new('L', Image.open(path).size).save(path)
    code, _, _, page, found = stats(root, '--split', 'all')
    assert code == 0
    assert found['parts'][0]['quantiles']['area'] == [None] * 3
    assert found['parts'][0]['measured']['images_without_target'] == 3
    assert 'nothing to compare it with' in page.read_text()


@pytest.mark.parametrize(
    ('args', 'words'),
    [
        ([], 'found 0 data sets'),
        (['NUAA-SRIST'], "Did you mean 'NUAA-SIRST'"),
        (['--synthetic', '0'], '--synthetic: found 0'),
        (['{set}', '--split', 'tets'], "Did you mean 'test'"),
        (['{set}', '--images', '0'], '--images: found 0'),
    ],
)
def test_mistakes_are_one_line(stats, two_sets, monkeypatch, args, words):
    monkeypatch.setenv('MADNET_DATA_ROOT', str(two_sets[0].parent))
    code, _, err, page, _ = stats(*(a.format(set=two_sets[0]) for a in args))
    assert code == 2
    assert words in err
    assert len(err.splitlines()) == 1
    assert not page.exists()


def test_sets_are_read_as_a_training_would_be_told_to(stats, two_sets, tmp_path):
    """The same pictures as float kelvins with masks of 0 and 1, and as 8 bits: the same numbers."""
    plain, deep = two_sets[0], tmp_path / 'deep'
    for path in plain.rglob('*.png'):
        pixels = np.asarray(Image.open(path))
        new = deep / path.relative_to(plain)
        new.parent.mkdir(parents=True, exist_ok=True)
        if 'masks' in path.parts:
            Image.fromarray(pixels // 255).save(new)
        else:
            Image.fromarray(pixels.astype(np.float32) / 10 + 270).save(new.with_suffix('.tif'))
    code, _, err, _, _ = stats(deep)
    assert (code, 'masks that are not all 0 have no grey value above 127' in err) == (2, True), err
    code, _, err, _, _ = stats(deep, '--mask-values', '0', '1')
    assert (code, 'value_range' in err) == (2, True), err
    code, _, err, _, found = stats(
        deep, '--mask-values', '0', '1', '--value-range', '270', '295.5', '--split-set', 'folder'
    )
    assert code == 0, err
    expected = stats(plain)[-1]
    for mine, theirs in zip(found['parts'], expected['parts'], strict=True):
        for key in ('mean', 'contrast', 'clutter', 'area', 'scr'):
            assert mine['quantiles'][key] == pytest.approx(theirs['quantiles'][key], rel=1e-3)
    assert stats(deep, '--mask-values', '0', '1', '--value-range', 'auto')[0] == 0
    assert 'expected 2 arguments' in stats(deep, '--value-range', '5')[2]
    assert 'found' in stats(deep, '--value-range', '5', 'nought')[2]
    assert 'nope' in stats(deep, '--mask-values', '0', '1', '--split-set', 'nope')[2]


def test_a_damaged_image_is_named(stats, two_sets):
    (two_sets[0] / 'test/images/3.png').write_bytes(b'no image')
    code, _, err, page, _ = stats(two_sets[0])
    assert code == 2
    assert '3.png' in err
    assert not page.exists()


def test_real_sets(stats, data_root):
    _, _, _, _, found = stats('irstd1k', '--split', 'test')
    assert found['parts'][0]['measured']['targets'] == 297
    assert found['parts'][0]['most_common_sizes'] == [[512, 512, 201]]
