import itertools

import cv2
import numpy as np
import pytest

from madnet.datasets import SyntheticSIRSTDataset
from madnet.datasets.transforms import (
    CopyPasteTargets,
    GainOffsetJitter,
    PublishedRandomScale,
    RandomBlur,
    RandomNoise,
    RandomRot90,
    RandomTargetCrop,
    SensorDefects,
)
from madnet.datasets.transforms.native_scale import shrunk_labels
from madnet.errors import UserError

RNG = np.random.default_rng(0)


def sample(h=300, w=400, channels=1, target=(250, 30), dtype=np.uint8):
    img = RNG.integers(0, 256, (h, w, channels)).astype(dtype)
    mask = np.zeros((h, w), np.uint8)
    if target:
        mask[target[0] : target[0] + 2, target[1] : target[1] + 2] = 255
        img[mask > 0] = 7
    return {'img': img, 'gt_mask': mask, 'gt_seg_map': mask // 255, 'seg_fields': ['gt_seg_map', 'gt_mask']}


@pytest.mark.parametrize(
    ('transform', 'argument', 'value'),
    [
        *((RandomTargetCrop, 'size', value) for value in (0, -64, [], [64, 0], 64.0, None)),
        *((RandomTargetCrop, 'zoom', value) for value in (2.0, (0, 1), (2.0, 0.5))),
        *((GainOffsetJitter, 'gamma', value) for value in (1.2, (0, 1))),
        *((RandomBlur, 'sigma', value) for value in (1.0, (1.5, 0.3), (-1, 1), ('a', 'b'))),
        *((RandomNoise, name, 5.0) for name in ('std', 'stripes')),
        *((CopyPasteTargets, 'copies', value) for value in (3, (3, 1), (0.5, 2))),
        *((CopyPasteTargets, name, (0.0, -1.0)) for name in ('group', 'gap', 'contrast')),
        *((SensorDefects, 'pixels', value) for value in ((4, 0), 4, (0, 1, 2))),
        (PublishedRandomScale, 'ratio_range', (2.0, 0.5)),
    ],
)
def test_a_wrong_argument_is_one_line(transform, argument, value):
    with pytest.raises(UserError, match=rf'^{transform.__name__}\.{argument}: found .*, expected '):
        transform(**{argument: value})


@pytest.mark.parametrize('channels', [1, 3])
def test_half_of_the_crops_hold_the_target(channels):
    positions, hits = [], 0
    for _ in range(400):
        after = RandomTargetCrop(size=64, target_prob=0.5, margin=8)(sample(channels=channels))
        assert after['img'].shape == (64, 64, channels)
        assert after['img_shape'] == after['gt_mask'].shape == (64, 64)
        assert (after['img'][after['gt_mask'] > 0] == 7).all()
        np.testing.assert_array_equal(after['gt_seg_map'] * 255, after['gt_mask'])
        if after['gt_mask'].any():
            hits += 1
            positions.append(np.argwhere(after['gt_mask']).mean(axis=0))
    # A uniform crop shows this target in 2 of 100.
    assert 160 < hits < 260
    x = np.array(positions)[:, 1]
    assert x.min() < 14
    assert x.max() > 25
    assert x.std() > 4  # around the target, not always in the middle


def test_the_target_keeps_its_margin_where_the_image_allows():
    for _ in range(100):
        after = RandomTargetCrop(size=64, target_prob=1, margin=8)(sample(target=(150, 200)))
        y, x = np.argwhere(after['gt_mask']).T
        assert min(y.min(), x.min()) >= 7
        assert max(y.max(), x.max()) <= 64 - 8
    for corner in ((0, 0), (298, 398), (0, 398)):
        assert RandomTargetCrop(size=64, target_prob=1)(sample(target=corner))['gt_mask'].sum() == 4 * 255


def test_without_a_target_any_crop_will_do():
    assert RandomTargetCrop(size=64, target_prob=1)(sample(target=None))['img'].shape == (64, 64, 1)
    assert RandomTargetCrop(size=64)({'img': sample()['img']})['img'].shape == (64, 64, 1)


@pytest.mark.parametrize(('h', 'w'), [(88, 300), (300, 50), (20, 20), (64, 64)])
def test_a_smaller_image_is_continued_by_reflection(h, w):
    before = sample(h, w, 3, target=(5, 6))
    after = RandomTargetCrop(size=128)(dict(before))
    assert after['img'].shape == (128, 128, 3)
    # Nothing is invented: every row and column of pixels is one of the image.
    assert set(map(bytes, after['img'].reshape(-1, 3))) <= set(map(bytes, before['img'].reshape(-1, 3)))
    np.testing.assert_array_equal((after['img'] == 7).all(axis=2), after['gt_mask'] > 0)


@pytest.mark.parametrize('channels', [1, 3])
def test_zoom_enlarges_image_and_masks_alike(channels):
    sizes = []
    for _ in range(60):
        before = sample(channels=channels, target=None)
        before['gt_mask'][100:116, 200:216] = 255
        before['gt_seg_map'] = before['gt_mask'] // 255
        before['img'] = np.repeat(before['gt_mask'][..., None], channels, axis=2)
        after = RandomTargetCrop(size=96, target_prob=1, margin=16, zoom=(0.5, 2.0))(before)
        assert after['img'].shape == (96, 96, channels)
        assert after['img'].dtype == np.uint8
        assert after['gt_seg_map'].shape == after['gt_mask'].shape == after['img_shape'] == (96, 96)
        assert set(np.unique(after['gt_seg_map'])) <= {0, 1}
        # an image that is its own mask stays so
        np.testing.assert_array_equal(after['img'][..., 0], after['gt_mask'])
        assert after['gt_seg_map'].sum() == pytest.approx((after['gt_mask'] > 127).sum(), rel=0.25)
        sizes.append(after['gt_mask'].sum() / 255)
    whole = 16**2
    assert max(sizes) > 2 * whole
    assert 0 < min(sizes) < 0.5 * whole


def test_a_fixed_zoom_is_opencv_s_resize():
    before = sample(h=40, w=40)
    after = RandomTargetCrop(size=80, zoom=(2.0, 2.0))(dict(before))
    np.testing.assert_array_equal(
        after['img'][..., 0], cv2.resize(before['img'], (80, 80), interpolation=cv2.INTER_LINEAR)
    )
    np.testing.assert_array_equal(after['gt_seg_map'], np.kron(before['gt_seg_map'], np.ones((2, 2))))


def test_no_zoom_draws_the_same_crops_as_ever():
    before = sample()
    crops = []
    for kwargs in ({}, {'zoom': (1.0, 1.0)}):
        np.random.seed(3)
        crops.append(RandomTargetCrop(size=64, **kwargs)(dict(before))['img'])
    np.testing.assert_array_equal(*crops)


@pytest.mark.parametrize('zoom', [(2.0, 1.0), (0.0, 1.0), (-1.0, 1.0)])
def test_an_impossible_zoom_is_refused(zoom):
    with pytest.raises(UserError, match='zoom: found'):
        RandomTargetCrop(zoom=zoom)


def test_sizes_are_whole_numbers_of_any_type():
    assert RandomTargetCrop(size=np.int64(48))(sample())['img'].shape == (48, 48, 1)
    for size in (True, 48.0, [48, 0], []):
        with pytest.raises(UserError, match='size: found'):
            RandomTargetCrop(size=size)


def test_quarter_turns_move_masks_along():
    seen = set()
    for _ in range(60):
        before = sample(5, 8)
        after = RandomRot90()(dict(before))
        turns = next(k for k in range(4) if np.array_equal(np.rot90(before['img'], k), after['img']))
        np.testing.assert_array_equal(after['gt_mask'], np.rot90(before['gt_mask'], turns))
        assert after['img_shape'] == after['img'].shape[:2]
        seen.add(turns)
    assert seen == {0, 1, 2, 3}


@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
@pytest.mark.parametrize('channels', [1, 3])
def test_gain_and_offset_stay_in_their_range(channels, dtype):
    gains, offsets = [], []
    for _ in range(200):
        img = np.array([[60], [120]], dtype).repeat(channels, axis=1)[:, None]
        after = GainOffsetJitter(gain=0.2, offset=15)({'img': img})['img']
        assert after.dtype == dtype
        assert after.shape == img.shape
        low, high = after[:, 0, 0].astype(float)
        gains.append((high - low) / 60)
        offsets.append(2 * low - high)
    assert min(gains) >= 0.8 - 0.02
    assert max(gains) <= 1.2 + 0.02
    assert np.ptp(gains) > 0.36
    assert min(offsets) >= -16.5
    assert max(offsets) <= 16.5
    assert np.ptp(offsets) > 27


def test_jitter_clips_and_rounds():
    img = np.array([[[0], [255]]], np.uint8)
    values = {tuple(GainOffsetJitter()({'img': img})['img'].ravel()) for _ in range(50)}
    assert {0} < {low for low, _ in values}
    assert 255 in {high for _, high in values}


def test_noise_is_alike_in_all_channels():
    img = np.full((200, 200, 3), 128, np.float32)
    after = RandomNoise(prob=1, std=(3, 3))({'img': img})['img']
    assert after.std() == pytest.approx(3, rel=0.05)
    assert abs(after.mean() - 128) < 0.1
    np.testing.assert_array_equal(after[..., 0], after[..., 2])
    assert RandomNoise(prob=0)({'img': img})['img'] is img
    assert RandomNoise(prob=1)({'img': img.astype(np.uint8)})['img'].dtype == np.uint8


@pytest.mark.parametrize('channels', [1, 3])
def test_blur_keeps_what_an_image_is(channels):
    before = sample(40, 50, channels)
    after = RandomBlur(prob=1, sigma=(1, 1))({**before, 'img': before['img'].copy()})
    assert after['img'].shape == before['img'].shape
    assert after['img'].dtype == np.uint8
    assert abs(after['img'].astype(float).mean() - before['img'].mean()) < 1
    assert after['img'].std() < before['img'].std() / 2
    flat = RandomBlur(prob=1)({'img': np.full((9, 9, channels), 77, np.uint8)})
    assert (flat['img'] == 77).all()
    assert RandomBlur(prob=0)({'img': before['img']})['img'] is before['img']


def scene_with_target(channels, level=100, contrast=50):
    img = np.full((64, 80, channels), level, np.uint8)
    img[20:23, 30:34] += contrast
    mask = np.zeros((64, 80), np.uint8)
    mask[20:23, 30:34] = 255
    return {'img': img, 'gt_mask': mask, 'gt_seg_map': mask // 255, 'seg_fields': ['gt_seg_map', 'gt_mask']}


@pytest.mark.parametrize('ring', [0, 1])
def test_a_ring_that_may_hold_no_background_is_refused(ring):
    with pytest.raises(UserError, match=f'ring: found {ring}, expected 2 or more'):
        CopyPasteTargets(ring=ring)


@pytest.mark.parametrize('channels', [1, 3])
def test_copies_bring_contrast_and_mask(channels):
    areas = set()
    for _ in range(50):
        before = scene_with_target(channels)
        paste = CopyPasteTargets(prob=1, copies=(2, 2), contrast=(0.5, 0.5))
        after = paste({key: np.copy(v) if key != 'seg_fields' else v for key, v in before.items()})
        np.testing.assert_array_equal(after['gt_seg_map'] * 255, after['gt_mask'])
        old = before['gt_mask'] > 0
        new = (after['gt_mask'] > 0) & ~old
        assert (after['img'][old] == 150).all()
        assert (after['img'][new] == 125).all()  # half the contrast on the same level
        assert (after['img'][~old & ~new] == 100).all()  # a flat ring adds nothing
        areas.add(int(new.sum()))
    assert areas == {24}  # two copies of twelve pixels, on nothing else


def test_copies_keep_off_targets_and_need_some():
    crowded = scene_with_target(1)
    crowded['gt_seg_map'][:] = 1
    crowded['gt_mask'][:] = 255
    assert CopyPasteTargets(prob=1)(dict(crowded))['img'] is crowded['img']
    empty = sample(target=None)
    assert CopyPasteTargets(prob=1)(dict(empty))['img'] is empty['img']


def by_area(labels, size):
    """Covered share of each pixel of a smaller square, by sums over finer pixels that fit both."""
    h = labels.shape[0]
    fine = np.kron(labels.astype(float), np.ones((size, size)))  # h · size pixels, of which h make one
    return fine.reshape(size, h, size, h).mean(axis=(1, 3))


@pytest.mark.parametrize(('side', 'size'), [(24, 16), (20, 10), (31, 16), (17, 16)])
def test_shrunk_masks_are_exact_and_lose_no_target(side, size):
    rng = np.random.default_rng(side)
    for _ in range(20):
        labels = np.zeros((side, side), np.uint8)
        # far apart, of one pixel to nine
        corners = [(y, x) for y in range(1, side - 3, 8) for x in range(1, side - 3, 8)]
        for y, x in corners:
            y, x = y + rng.integers(2), x + rng.integers(2)
            labels[y : y + rng.integers(1, 4), x : x + rng.integers(1, 4)] = 1
        covered, after = by_area(labels, size), shrunk_labels(labels, size)
        assert after.dtype == np.uint8
        count, parts = cv2.connectedComponents(np.uint8(covered > 1e-9), connectivity=8)
        assert count == len(corners) + 1
        for k in range(1, count):
            share, found = covered[parts == k], after[parts == k]
            if share.max() >= 0.5:
                np.testing.assert_array_equal(found, share >= 0.5)
            else:
                assert found.sum() == 1
                assert share[found > 0] == pytest.approx(share.max())
        assert not after[covered < 1e-9].any()


def test_a_zoomed_crop_keeps_a_target_of_one_pixel():
    for _ in range(30):
        before = sample(200, 200, target=None)
        before['gt_mask'][100, 90] = 255
        before['gt_seg_map'] = before['gt_mask'] // 255
        after = RandomTargetCrop(size=64, target_prob=1, zoom=(0.4, 0.9))(before)
        assert after['gt_seg_map'].sum() == 1


@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
def test_gain_gamma_and_pivot_are_their_formulas(dtype):
    img = RNG.integers(20, 230, (30, 40, 1)).astype(dtype)
    for pivot in ('black', 'mean'):
        jitter = GainOffsetJitter(gain=(0.3, 3.0), offset=20, gamma=(0.5, 2.0), pivot=pivot)
        drawn = {'gain': 1.7, 'offset': -12.0, 'gamma': 0.8}
        after = jitter.apply({'img': img}, drawn)['img']
        curved = 255 * (img.astype(float) / 255) ** 0.8
        p = curved.mean() if pivot == 'mean' else 0
        wanted = np.clip((curved - p) * 1.7 + p - 12, 0, 255)
        assert after.dtype == dtype
        assert np.abs(after - wanted).max() <= (0.501 if dtype == np.uint8 else 1e-3)
    draws = [jitter.draw({'img': img}) for _ in range(400)]
    for key, low, high in (('gain', 0.3, 3.0), ('gamma', 0.5, 2.0)):
        values = np.array([d[key] for d in draws])
        assert low <= values.min() < 1.2 * low
        assert high / 1.2 < values.max() <= high
        # as often below the geometric mean as above
        assert 0.4 < (values < np.sqrt(low * high)).mean() < 0.6
    for wrong in ({'gain': (0, 1)}, {'gamma': (2, 1)}, {'pivot': 'median'}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            GainOffsetJitter(**wrong)


def test_stripes_are_alike_along_rows_or_columns():
    flat, along = np.full((50, 60, 3), 128, np.float32), set()
    for _ in range(20):
        after = RandomNoise(prob=1, std=(0, 0), stripes=(3, 3))({'img': flat})['img']
        np.testing.assert_array_equal(after[..., 0], after[..., 2])
        by_column, by_row = (after[..., 0].std(axis=axis).max() < 1e-4 for axis in (0, 1))
        assert by_column != by_row
        assert 1.5 < after.std() < 4.5
        along.add(by_column)
    assert along == {True, False}
    np.random.seed(1)
    before = RandomNoise(prob=1)({'img': flat})['img']
    np.random.seed(1)
    np.testing.assert_array_equal(before, RandomNoise(prob=1, stripes=(0, 0))({'img': flat})['img'])


def test_pairs_and_formations():
    gaps, sizes = [], set()
    for _ in range(60):
        before = scene_with_target(1)
        paste = CopyPasteTargets(prob=1, copies=(1, 1), contrast=(1, 1), group=(2, 3), gap=(1, 5))
        drawn = paste.draw(before)
        assert all(len(values) == 3 for values in drawn.values())
        after = paste.apply(before, drawn)
        new = np.uint8((after['gt_mask'] > 0) & (scene_with_target(1)['gt_mask'] == 0))
        count, _, stats, _ = cv2.connectedComponentsWithStats(new, connectivity=8)
        assert (stats[1:, cv2.CC_STAT_AREA] == 12).all()
        assert count - 1 == drawn['placed'].sum()  # none touches another
        sizes.add(count - 1)
        boxes = stats[1:, :4]
        for a, b in itertools.pairwise(boxes):
            gaps.append(max(max(a[k], b[k]) - min(a[k] + a[k + 2], b[k] + b[k + 2]) for k in (0, 1)))
    assert {2, 3} <= sizes <= {0, 1, 2, 3}
    assert min(gaps) >= 1
    assert np.median(gaps) <= 6


def test_sizes_take_turns_by_the_epoch():
    dataset = SyntheticSIRSTDataset(
        length=3, size=64, split='train', pipeline=[{'type': 'RandomTargetCrop', 'size': [48, 32]}]
    )
    for epoch, size in ((0, 48), (1, 32), (2, 48)):
        dataset.set_epoch(epoch)
        assert [sample['img'].shape for sample in dataset] == [(size, size, 1)] * 3
        assert dataset[0]['gt_mask'].shape == dataset[0]['img_shape'] == (size, size)
    with pytest.raises(UserError, match='does not say the epoch'):
        RandomTargetCrop(size=[48, 32])(sample())
