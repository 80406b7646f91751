"""What is measured of images and targets, by plain references."""

import numpy as np
import pytest

from madnet.curation.comparison import distance, quantiles
from madnet.curation.measures import (
    FREQUENCIES,
    background_spectrum,
    measure,
    spectral_slope,
    without_targets,
)
from madnet.curation.sources import Sample
from madnet.evaluation.components import find_components
from madnet.evaluation.strata import local_scr


def sample(grey, mask) -> Sample:
    grey = np.asarray(grey, np.float32)
    return Sample('a', grey, grey, find_components(mask))


def test_targets_by_hand():
    mask = np.zeros((60, 80), bool)
    mask[0, 0] = True  # one pixel, in a corner
    mask[30:32, 40:46] = True  # 6 × 2
    mask[50, 10] = mask[51, 11] = mask[52, 12] = True  # a diagonal line of three
    grey = np.random.default_rng(0).normal(100, 3, mask.shape)
    grey[mask] -= 30
    found = measure([sample(grey, mask)]).values
    assert found['area'].tolist() == [1, 12, 3]
    assert found['border'].tolist() == [0, 28, 7]
    assert found['extent'] == pytest.approx([1, 1, 1 / 3])
    # a rectangle's axes are its sides; the line's moments are 2 · 2/3 + 1/12 along it and 1/12 across
    assert found['elongation'] == pytest.approx([1, 3, np.sqrt((4 / 3 + 1 / 12) * 12)])
    assert found['across'] == pytest.approx([0.5 / 80, 43 / 80, 11.5 / 80])
    assert found['down'] == pytest.approx([0.5 / 60, 31 / 60, 51.5 / 60])
    assert (found['contrast'] < -25).all()
    assert found['scr'] == pytest.approx(-found['contrast'] / found['clutter'])
    assert found['scr'] == pytest.approx(local_scr(grey, find_components(mask)), rel=1e-5)
    assert found['targets'].tolist() == [3]
    assert found['side'] == pytest.approx(np.sqrt(4800))


def test_scr_of_a_flat_background_is_infinite_and_none_is_left_unknown():
    mask = np.zeros((50, 50), bool)
    mask[20:22, 20:22] = True
    assert measure([sample(100 + mask * 9.0, mask)]).values['scr'].tolist() == [np.inf]
    assert np.isnan(measure([sample(np.ones((4, 4)), np.ones((4, 4), bool))]).values['scr']).all()


@pytest.mark.parametrize('shape', [(128, 128), (97, 130), (64, 201)])
def test_spectrum_of_white_noise_is_level_and_holds_its_variance(shape):
    rng = np.random.default_rng(1)
    found = [background_spectrum(rng.normal(50, 4, shape).astype(np.float32)) for _ in range(40)]
    spectrum = np.mean([s for s, _ in found], 0)  # NaN where an image has no such frequency
    assert spectrum[12:] == pytest.approx(16, rel=0.1)
    # of the plane of frequencies, a circle of radius 1/4 is left out
    assert np.mean([f for _, f in found]) == pytest.approx(4 * np.sqrt(1 - np.pi / 16), rel=0.02)
    assert abs(spectral_slope(spectrum)) < 0.15


@pytest.mark.parametrize('beta', [1.5, 3.0])
def test_slope_of_a_field_of_known_spectrum(beta):
    rng = np.random.default_rng(2)
    f = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.rfftfreq(256))
    f[0, 0] = np.inf
    slopes = []
    for _ in range(8):
        noise = np.fft.rfft2(rng.standard_normal((256, 256))) * f ** (-beta / 2)
        slopes.append(spectral_slope(background_spectrum(np.fft.irfft2(noise))[0]))
    assert np.mean(slopes) == pytest.approx(beta, abs=0.15)


def test_targets_do_not_count_as_background():
    mask = np.zeros((64, 64), bool)
    mask[30:33, 30:33] = True
    grey = np.full((64, 64), 80, np.float32)
    grey[29:34, 29:34] = 200  # its blur lies around the mask
    filled = without_targets(grey, find_components(mask))
    assert filled == pytest.approx(80)
    assert without_targets(grey, find_components(mask * 0)) is grey


def test_a_flat_image_has_no_slope():
    assert np.isnan(spectral_slope(background_spectrum(np.full((64, 64), 7, np.float32))[0]))
    assert len(FREQUENCIES) == len(background_spectrum(np.zeros((32, 32), np.float32))[0])


def test_distance_and_quantiles():
    scipy_stats = pytest.importorskip('scipy.stats')
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=301).round(1), rng.normal(0.4, 1.3, 200).round(1)
    assert distance(a, b).d == pytest.approx(scipy_stats.ks_2samp(a, b).statistic)
    assert distance(a, np.append(a, np.nan)).d == 0
    assert distance(a, a + 100).d == 1
    assert not distance(a, np.array([np.nan])).stands_out
    assert not distance(a[:9], b[:9] + 0.2).stands_out  # few values prove nothing
    assert quantiles(np.array([np.nan, 1, 2, 3, np.inf])) == [1, 2, np.inf]
    assert quantiles(np.array([np.nan])) == [None] * 3
