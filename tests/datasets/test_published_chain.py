"""Against Pillow, called here as the published protocol says."""

import numpy as np
import pytest
from mmseg.registry import TRANSFORMS
from PIL import Image, ImageFilter

from madnet.datasets.transforms import (
    PublishedBlur,
    PublishedFlip,
    PublishedRandomCrop,
    PublishedRandomScale,
    PublishedTestResize,
)
from madnet.errors import UserError

RNG = np.random.default_rng(0)


def sample(h, w, channels=1, dtype=np.uint8, **kwargs):
    img = RNG.integers(0, 256, (h, w, channels)).astype(dtype)
    mask = (RNG.random((h, w)) < 0.1).astype(np.uint8) * 255
    return {
        'img': img,
        'gt_mask': mask,
        'gt_seg_map': mask // 255,
        'seg_fields': ['gt_seg_map', 'gt_mask'],
        **kwargs,
    }


def pillow(array):
    return Image.fromarray(array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array)


@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize(('h', 'w'), [(40, 61), (61, 40), (50, 50)])
def test_scale_equals_pillow(h, w, channels):
    for trial in range(20):
        before = sample(h, w, channels, base_size=(64, 64))
        np.random.seed(trial)
        after = PublishedRandomScale()(dict(before))
        out_h, out_w = after['img'].shape[:2]
        np.random.seed(trial)
        long_side = np.random.randint(32, 129)
        size = (
            (int(1.0 * w * long_side / h + 0.5), long_side)
            if h > w
            else (long_side, int(1.0 * h * long_side / w + 0.5))
        )
        assert (out_w, out_h) == size
        image = np.array(pillow(before['img']).resize(size, Image.BILINEAR)).reshape(after['img'].shape)
        np.testing.assert_array_equal(after['img'], image)
        for key in ('gt_mask', 'gt_seg_map'):
            np.testing.assert_array_equal(
                after[key], np.array(pillow(before[key]).resize(size, Image.NEAREST))
            )
        assert after['img_shape'] == (out_h, out_w)


def test_scale_reaches_both_ends_and_nothing_beyond():
    sides = [max(PublishedRandomScale(base_size=8)(sample(5, 9))['img'].shape[:2]) for _ in range(600)]
    assert set(sides) == set(range(4, 17))
    counts = np.bincount(sides)[4:]
    assert counts.max() < 2.2 * counts.min()


def test_float_images_scale_as_pillow_does_its_float_mode():
    before = sample(40, 60, 1, np.float32, base_size=(64, 64))
    after = PublishedTestResize()(dict(before))
    reference = np.array(pillow(before['img']).resize((64, 64), Image.BILINEAR))
    np.testing.assert_allclose(after['img'][..., 0], reference)
    assert after['img'].dtype == np.float32


@pytest.mark.parametrize('channels', [1, 3])
def test_crop_pads_right_and_below_with_zeros(channels):
    before = sample(20, 50, channels)
    before['img'] = np.maximum(before['img'], 1)
    after = PublishedRandomCrop(32)(dict(before))
    assert after['img'].shape == (32, 32, channels)
    assert not after['img'][20:].any()
    assert not after['gt_mask'][20:].any()
    assert after['img'][:20].all()
    x = next(x for x in range(19) if np.array_equal(before['img'][:, x : x + 32], after['img'][:20]))
    np.testing.assert_array_equal(after['gt_mask'][:20], before['gt_mask'][:, x : x + 32])
    np.testing.assert_array_equal(after['gt_seg_map'] * 255, after['gt_mask'])


def test_crop_lies_anywhere_with_equal_chance():
    columns = np.arange(12, dtype=np.uint8)[None, :, None].repeat(9, axis=0)
    first = [int(PublishedRandomCrop(8)({'img': columns})['img'][0, 0, 0]) for _ in range(1000)]
    counts = np.bincount(first, minlength=5)
    assert len(counts) == 5
    assert counts.min() > 150


@pytest.mark.parametrize('channels', [1, 3])
def test_blur_equals_pillow_and_spares_the_masks(channels):
    blurred = 0
    for trial in range(40):
        before = sample(30, 40, channels)
        np.random.seed(trial)
        after = PublishedBlur()(dict(before))
        np.random.seed(trial)
        if np.random.rand() < 0.5:
            blurred += 1
            image = pillow(before['img']).filter(ImageFilter.GaussianBlur(np.random.uniform(0, 1)))
            np.testing.assert_array_equal(after['img'], np.array(image).reshape(after['img'].shape))
        else:
            np.testing.assert_array_equal(after['img'], before['img'])
        assert after['gt_mask'] is before['gt_mask']
    assert 10 < blurred < 30


def test_float_blur_is_near_pillows():
    before = sample(30, 40)
    np.random.seed(3)
    eight = PublishedBlur(prob=1)(dict(before))['img']
    np.random.seed(3)
    deep = PublishedBlur(prob=1)({**before, 'img': before['img'].astype(np.float32)})['img']
    assert deep.shape == eight.shape
    assert np.abs(deep - eight).mean() < 6
    assert np.abs(deep - before['img']).mean() > 10


def test_flip():
    flips = []
    for _ in range(200):
        before = sample(6, 7, 3)
        after = PublishedFlip()(dict(before))
        flips.append(after['flip'])
        for key in ('img', 'gt_mask', 'gt_seg_map'):
            np.testing.assert_array_equal(after[key], before[key][:, ::-1] if after['flip'] else before[key])
    assert 70 < sum(flips) < 130


@pytest.mark.parametrize('channels', [1, 3])
def test_test_resize_is_straight_to_the_base_size(channels):
    before = sample(33, 71, channels, base_size=(64, 64))
    image = before['img']
    after = PublishedTestResize()(dict(before, seg_fields=[]))
    np.testing.assert_array_equal(
        after['img'], np.array(pillow(image).resize((64, 64), Image.BILINEAR)).reshape(64, 64, channels)
    )
    assert after['gt_mask'].shape == (33, 71)
    assert after['scale_factor'] == (64 / 71, 64 / 33)
    assert PublishedTestResize((32, 48))(dict(before))['base_size'] == (32, 48)


def test_no_size_known():
    with pytest.raises(UserError, match='PublishedRandomCrop: no size given'):
        PublishedRandomCrop()(sample(9, 9))


def test_registered():
    for name in ('Flip', 'RandomScale', 'RandomCrop', 'Blur', 'TestResize'):
        assert name in repr(TRANSFORMS.build({'type': f'Published{name}'}))
