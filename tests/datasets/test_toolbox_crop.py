"""The toolbox's crop against its rule, written out."""

import numpy as np
import pytest
from mmseg.registry import TRANSFORMS

from madnet.datasets.transforms import ToolboxCrop


def scene(h, w, targets=(), channels=1):
    """Every pixel tells where it is, so that a crop tells where it was cut."""
    place = np.arange(h * w, dtype=np.float32).reshape(h, w, 1)
    mask = np.zeros((h, w), np.uint8)
    for y, x in targets:
        mask[y, x] = 1
    return {
        'img': place.repeat(channels, axis=2),
        'gt_seg_map': mask,
        'gt_mask': mask * 255,
        'seg_fields': ['gt_seg_map', 'gt_mask'],
    }


def corners(n, h, w, size, targets, **kwargs):
    found = []
    for _ in range(n):
        sample = ToolboxCrop(size, **kwargs)(scene(h, w, targets))
        assert sample['img'].shape == (size, size, 1)
        found.append(divmod(int(sample['img'][0, 0, 0]), w))
        top, left = found[-1]
        expected = scene(h, w, targets)
        for key in ('img', 'gt_seg_map', 'gt_mask'):
            whole = expected[key][top : top + size, left : left + size]
            np.testing.assert_array_equal(sample[key], whole)
    return np.array(found)


def test_crops_around_a_target_reach_both_ends_and_nothing_beyond():
    found = corners(600, 40, 50, 8, [(20, 3)], target_prob=1.0)
    # rows max(0, 20 - 8) … min(20, 32); columns max(0, 3 - 8) … min(3, 42)
    assert set(found[:, 0]) == set(range(12, 21))
    assert set(found[:, 1]) == set(range(4))
    counts = np.bincount(found[:, 0])[12:]
    assert counts.max() < 2.2 * counts.min()


def test_a_target_near_the_far_border_keeps_the_crop_inside():
    found = corners(300, 20, 20, 8, [(19, 19)], target_prob=1.0)
    assert set(found[:, 0]) == {11, 12}
    assert set(found[:, 1]) == {11, 12}


def test_half_of_the_crops_are_placed_around_a_target():
    found = corners(600, 200, 8, 8, [(190, 4)])
    near = np.mean(found[:, 0] >= 182)
    # (1 + 11 / 193) / 2
    assert 0.44 < near < 0.62


def test_without_a_target_the_crop_lies_anywhere():
    found = corners(1000, 12, 9, 8, [], target_prob=1.0)
    counts = np.bincount(found[:, 0] * 2 + found[:, 1], minlength=10)
    assert len(counts) == 10
    assert counts.min() > 50


@pytest.mark.parametrize('channels', [1, 3])
def test_small_images_are_padded_to_zeros_after_normalisation(channels):
    mean = 101.0639
    before = scene(20, 50, [(19, 0)], channels)
    before['img'] = before['img'].astype(np.uint8)
    after = ToolboxCrop(32, pad_value=mean)(dict(before))
    assert after['img'].dtype == np.float32
    assert after['img'].shape == (32, 32, channels)
    assert not (after['img'][20:] - np.float32(mean)).any()
    assert not after['gt_mask'][20:].any()
    assert not after['gt_seg_map'][20:].any()
    left = next(x for x in range(19) if np.array_equal(before['img'][:, x : x + 32], after['img'][:20]))
    np.testing.assert_array_equal(after['gt_mask'][:20], before['gt_mask'][:, left : left + 32])


def test_images_of_eight_bit_stay_so_where_nothing_is_padded():
    before = scene(9, 9)
    before['img'] = before['img'].astype(np.uint8)
    assert ToolboxCrop(8)(before)['img'].dtype == np.uint8


def test_registered():
    assert repr(TRANSFORMS.build({'type': 'ToolboxCrop'})).startswith('ToolboxCrop(size=256')
