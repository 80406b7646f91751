"""Every detector against its formula as a loop, or with full decompositions."""

import numpy as np
import plain_filters
import plain_low_rank
import pytest

from madnet.classical import DETECTORS, get_detector


def scene(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Clutter with a gradient, black cells and three targets, one at a corner: (H, W) uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    image = 60 + 1.5 * x + 8 * np.sin(y / 3) + rng.normal(0, 4, (height, width))
    image[:4, -5:] = 0
    for top, left, size, level in ((0, 0, 2, 90), (height // 2, width // 2, 3, 100), (height - 4, 3, 2, 70)):
        image[top : top + size, left : left + size] += level
    return image.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize('name', plain_filters.PLAIN)
def test_filters_are_their_formulas(name):
    image = scene(19, 23)
    expected = plain_filters.PLAIN[name](plain_filters.Plain(image))
    scores = DETECTORS[name](image)
    assert expected.max() > 0 or name == 'maxmedian_5'
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-11 * max(1, expected.max()))


@pytest.mark.parametrize('name', ['rlcm', 'tllcm_9'])
def test_fractions_of_a_grey_level_count(name):
    # finer than float32 can hold, in which whole numbers may be sorted
    image = scene(12, 13) * 0.9137
    expected = plain_filters.PLAIN[name](plain_filters.Plain(image))
    np.testing.assert_allclose(DETECTORS[name](image), expected, rtol=0, atol=1e-11 * expected.max())


@pytest.mark.parametrize('name', plain_low_rank.PLAIN)
def test_low_rank_methods_are_their_algorithms(name):
    image = scene(41, 52).astype(np.float64)
    patch, step = (12, 12) if name == 'pstnn' else (12, 7)
    expected = plain_low_rank.PLAIN[name](image, patch, step)
    scores = get_detector(name, patch=patch, step=step)(image)
    assert expected.max() > 0
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-7 * expected.max())


def test_ipi_ends_when_its_rank_has_settled():
    # a smooth scene, where one iteration more or fewer changes the score by percents
    y, x = np.mgrid[:41, :52]
    image = 80 + 20 * np.sin(x / 15) + 15 * np.cos(y / 12)
    image[20:22, 30:32] += 30
    expected = plain_low_rank.ipi(image, 12, 7)
    scores = get_detector('ipi', patch=12, step=7)(image)
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-9)


def test_every_detector_has_a_plain_form():
    assert set(DETECTORS) == set(plain_filters.PLAIN) | set(plain_low_rank.PLAIN)
