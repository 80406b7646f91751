"""Images that show nearly the same."""

import shutil

import cv2
import numpy as np
import pytest

from madnet.datasets import SIRSTDataset, find_near_duplicates, get_entry, split_ids
from madnet.datasets.duplicates import thumbnail
from madnet.errors import UserError


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    coarse = rng.random((6, 8, 8)).astype(np.float32) * 200
    return [
        cv2.resize(c, (96, 64), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8) for c in coarse
    ]


def test_against_correlation_of_numpy(images):
    pairs = find_near_duplicates(images[:3], images[3:], threshold=-1.0)
    assert [(i, j) for i, j, _ in pairs] == [(i, j) for i in range(3) for j in range(3)]
    small = [cv2.resize(x.astype(np.float32), (32, 32), interpolation=cv2.INTER_AREA).ravel() for x in images]
    for i, j, correlation in pairs:
        assert correlation == pytest.approx(np.corrcoef(small[i], small[3 + j])[0, 1], abs=1e-5)


def test_gain_offset_depth_colour_and_a_small_target_hide_nothing(images):
    changed = (images[2] * 0.5 + 40).astype(np.uint8)
    changed[10:12, 20:22] = 180
    deep = images[4].astype(np.uint16) * 257
    full = (images[3].astype(float) - images[3].min()) / np.ptp(images[3]) * 65535
    colour = np.repeat(images[5][..., None], 3, axis=2)
    found = find_near_duplicates(images, [changed, deep, colour, full.astype(np.uint16)])
    assert [(i, j) for i, j, _ in found] == [(2, 0), (3, 3), (4, 1), (5, 2)]


def test_floats_are_compared_whatever_their_range_without_a_word(images, monkeypatch, caplog):
    monkeypatch.setattr('madnet.images.notices._said', set())
    small = [image / 2550 for image in images]  # 0 to 0.1
    far = [image.astype(float) / 1000 + 1e5 for image in images]
    for others in (small, far):
        assert [(i, j) for i, j, _ in find_near_duplicates(images, others)] == [(i, i) for i in range(6)]
    assert caplog.text == ''
    with pytest.raises(UserError, match='NaN'):
        thumbnail(np.full((9, 9), np.nan))


def test_an_image_of_one_grey_level_and_no_image(images):
    assert find_near_duplicates([np.full((9, 9), 7, np.uint8)], images) == []
    assert find_near_duplicates([], images) == []


def test_left_out_of_training_and_only_there(make_set):
    ids = [*split_ids('IRSTD-1K', 'trainval'), *split_ids('IRSTD-1K', 'test')]
    root = make_set('IRSTD-1K', ids)
    near = get_entry('IRSTD-1K').split_sets['basicirstd'].near_test
    clean = SIRSTDataset(root, 'trainval', exclude_near_test=True)
    assert set(split_ids('IRSTD-1K', 'trainval')) - set(clean.image_ids) == set(near)
    assert len(near) == 4
    assert clean.split_sha256 != SIRSTDataset(root, 'trainval').split_sha256
    assert len(SIRSTDataset(root, 'test', exclude_near_test=True)) == 201


def test_of_a_set_of_ones_own_they_are_measured(make_set, monkeypatch, tmp_path, caplog):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    lists = {'train.txt': ['a', 'b', 'c'], 'test.txt': ['d', 'e']}
    root = make_set('Own', ['a', 'b', 'c', 'd', 'e'], lists=lists)
    shutil.copy(root / 'images' / 'd.png', root / 'images' / 'b.png')
    for _ in range(2):  # measured, and found again
        assert SIRSTDataset(root, 'trainval', exclude_near_test=True).image_ids == ['a', 'c']
    assert '1 of 3 images nearly show a test image and are left out (b)' in caplog.text
    assert len(SIRSTDataset(root, 'trainval')) == 3
    assert len(SIRSTDataset(root, 'test', exclude_near_test=True)) == 2
    alone = make_set('Alone', ['a', 'b'])
    assert len(SIRSTDataset(alone, 'trainval', exclude_near_test=True)) == 2
    for name in 'de':  # as on a machine that only trains
        (root / 'images' / f'{name}.png').unlink()
    assert len(SIRSTDataset(root, 'trainval', exclude_near_test=True)) == 3
    assert 'were not looked for: Own (' in caplog.text
