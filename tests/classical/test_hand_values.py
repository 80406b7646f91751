"""Every filter on one block that can be worked out by hand."""

import numpy as np
import pytest

from madnet.classical import get_detector

# (centre of the block, its corner, 4 px beside the centre, sum of the map)
HAND_VALUES = {
    'tophat': (100, 100, 0, 900),
    'newtophat_9_5_9': (100, 100, 0, 900),
    'newtophat': (100, 100, 0, 900),
    'maxmean_5': (40, 40, 0, 360),
    'maxmean': (80, 80, 0, 720),
    'maxmedian_5': (0, 0, 0, 0),
    'maxmedian': (100, 100, 0, 900),
    'log': (72.4067, 34.9002, 0.968263, 794.9697),
    'dog': (47.5285, 23.6384, 0, 327.5215),
    'lcm': (450, 450, 418.966, 250135.12),
    'rlcm': (300, 300, 120, 18475.999),
    'mpcm': (10000, 1296, 27.4348, 33250.551),
    'hbmlcm': (1.40466e8, 1.71049e7, 121170, 5.2219348e8),
    'hbmlcm_5': (7.28178e7, 8.86716e6, 62814.8, 2.707051e8),
    'tllcm': (300, 119.531, 0, 1912.4999),
    'wslcm': (99163.4, 26856.8, 0, 480942.63),
    'admd': (10000, 1296, 13.7174, 29137.188),
    'aagd': (10000, 1851.06, 40.1446, 48625.002),
}


def _block() -> np.ndarray:
    image = np.full((64, 64), 50.0)
    image[31:34, 31:34] = 150
    return image


def _values(scores: np.ndarray) -> list[float]:
    return [scores[32, 32], scores[31, 31], scores[32, 36], scores.sum()]


@pytest.mark.parametrize('name', HAND_VALUES)
def test_the_block(name):
    scores = get_detector(name)(_block())
    assert scores.dtype == np.float64
    assert scores.shape == (64, 64)
    np.testing.assert_allclose(_values(scores), HAND_VALUES[name], rtol=6e-6, atol=1e-6)


def test_the_block_without_the_median_of_wslcm():
    scores = get_detector('wslcm', median=False)(_block())
    np.testing.assert_allclose(_values(scores), [514063, 204822, 0, 3277153.1], rtol=3e-6)


def test_a_longer_target_than_half_a_median_line_is_invisible():
    assert not get_detector('maxmedian', length=5)(_block()).any()
    assert get_detector('maxmedian', length=7)(_block()).sum() == 900


def test_aadcdd_on_the_block():
    # The 3 × 3 cell on the block: D = 150 − 50, and on each half axis two pixels of 150, then one of 50:
    # (150 + 150) − 2 · 50 = 200.
    scores = get_detector('aadcdd', scales=(3,))(_block())
    assert scores[32, 32] == pytest.approx(100**2 * 200, rel=1e-12)
    # at the block's corner the pixel outside the cell towards the middle is as bright as the inside
    assert scores[31, 31] < scores[32, 32] / 10
