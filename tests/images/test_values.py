"""Grey values to the 0–255 scale."""

import cv2
import numpy as np
import pytest

from madnet.datasets import SIRSTDataset
from madnet.images import FrameLoader, notices
from madnet.images.values import LEAST_SPAN, luma, to_channels


@pytest.mark.parametrize(
    ('pixels', 'told'),
    [
        ((500, 1005), True),  # half of the range wide, all but 5 values of it below
        ((1995, 2500), True),
        ((500, 2500), False),
        ((1000, 1000 + round(1000 * LEAST_SPAN) + 1), False),
    ],
)
def test_contrast_is_that_within_the_range(pixels, told, monkeypatch):
    monkeypatch.setattr(notices, '_said', set())
    pixels = np.array([pixels], np.uint16)
    found = to_channels(pixels, 1, value_range=(1000, 2000))
    np.testing.assert_allclose(found[..., 0], (np.clip(pixels, 1000, 2000) - 1000.0) * 0.255, rtol=1e-6)
    assert bool(notices._said) == told


@pytest.mark.parametrize('kind', [np.uint32, np.int32, np.int64, np.float64])
def test_large_numbers_keep_their_last_digits(kind):
    pixels = np.arange(256, dtype=kind)[None] + 300_000_000
    found = to_channels(pixels, 1, value_range=(300_000_000, 300_000_255))
    np.testing.assert_allclose(found[0, :, 0], np.arange(256), atol=1e-4)
    assert found.dtype == np.float32


@pytest.mark.parametrize('kind', [np.uint8, np.uint16, np.float32, np.float64, np.int32])
def test_luma_is_one_for_all_types(kind):
    blue, green, red = 10, 200, 90
    pixels = np.tile(np.array([blue, green, red], kind), (3, 4, 1))
    expected = 0.114 * blue + 0.587 * green + 0.299 * red
    np.testing.assert_allclose(luma(pixels), expected, atol=0.5 if kind in (np.uint8, np.uint16) else 1e-4)
    grey = np.repeat(np.arange(12, dtype=kind).reshape(3, 4, 1), 3, 2)
    np.testing.assert_allclose(luma(grey), grey[..., 0], atol=1e-5)
    np.testing.assert_array_equal(luma(grey[..., :1]), grey[..., 0])


@pytest.mark.parametrize('dark', [(), ('i7',), ('i3', 'i7')])
def test_one_image_that_widens_a_measured_range_is_named(make_set, dark, monkeypatch):
    """As one taken with the shutter closed; of two, none does it alone."""
    ids = [f'i{n}' for n in range(9)]
    root = make_set('mine', ids, lists={'trainval.txt': ids[:8], 'test.txt': ids[8:]})
    paths = [root / 'images' / f'{i}.png' for i in ids]
    for n, path in enumerate(paths):
        level = 20 if path.stem in dark else 21000
        image = np.random.default_rng(n).normal(level, 0.01 * level, (32, 40))
        cv2.imwrite(str(path), image.astype(np.uint16))
    loader = FrameLoader(1, 'auto')
    for measured in (
        lambda: SIRSTDataset(root, 'test', value_range='auto').value_range,
        lambda: (loader.measure([(path, None) for path in paths]), loader.value_range)[1],
    ):
        monkeypatch.setattr(notices, '_said', set())
        low, high = measured()
        assert (low < 100, high > 21000) == (bool(dark), True)
        told = [text for text in notices._said if 'by this image alone' in text]
        assert [text.partition(':')[0] for text in told] == [str(paths[7])] * (dark == ('i7',))


def test_a_frame_that_widens_a_measured_range_is_named_by_its_number(tmp_path, monkeypatch):
    monkeypatch.setattr(notices, '_said', set())
    levels = np.full((8, 1, 1), 21000)
    levels[3] = 20
    clip = levels * np.random.default_rng(0).uniform(0.99, 1.01, (8, 32, 40))
    np.save(tmp_path / 'clip.npy', clip.astype(np.uint16))
    FrameLoader(1, 'auto').measure([(tmp_path / 'clip.npy', k) for k in range(8)])
    assert any(text.startswith(f'{tmp_path / "clip.npy"}, frame 3: ') for text in notices._said)
