"""Images that show nearly the same."""

import cv2
import numpy as np
import pytest

from madnet.datasets import SIRSTDataset, find_near_duplicates, get_entry, split_ids
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
    colour = np.repeat(images[5][..., None], 3, axis=2)
    found = find_near_duplicates(images, [changed, deep, colour])
    assert [(i, j) for i, j, _ in found] == [(2, 0), (4, 1), (5, 2)]


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


def test_a_set_without_such_a_list_says_what_to_do(make_set):
    root = make_set('Own', ['a', 'b'])
    with pytest.raises(UserError, match='find_near_duplicates'):
        SIRSTDataset(root, 'all', exclude_near_test=True)
