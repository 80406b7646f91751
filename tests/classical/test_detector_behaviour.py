"""What every detector does to the kinds of images that users have."""

import numpy as np
import pytest
from test_plain_forms import scene

from madnet.classical import DETECTORS, get_detector, get_rule
from madnet.classical.image import as_grey
from madnet.errors import UserError

LOW_RANK = ('ipi', 'ipialm', 'ript', 'pstnn', 'nram')
FILTERS = tuple(name for name in DETECTORS if name not in LOW_RANK)
# patches small enough for test images
SMALL = {name: {'patch': 12, 'step': 12 if name == 'pstnn' else 8} for name in LOW_RANK}


def detector(name):
    return get_detector(name, **SMALL.get(name, {}))


@pytest.mark.parametrize('name', DETECTORS)
def test_8_bit_and_float_images_score_the_same(name):
    image = scene(40, 44)
    image[20:23, 30:33] = 255  # the sums overflow 8 bits
    kept = image.copy()
    scores = detector(name)(image)
    np.testing.assert_array_equal(scores, detector(name)(image.astype(np.float64)))
    np.testing.assert_array_equal(scores, detector(name)(image.astype(np.float32)))
    np.testing.assert_array_equal(scores, detector(name)(np.repeat(image[..., None], 3, axis=2)))
    np.testing.assert_array_equal(image, kept)
    assert scores.dtype == np.float64
    assert scores.shape == image.shape
    assert np.isfinite(scores).all()
    assert scores.min() >= 0


@pytest.mark.parametrize('level', [0, 77, 255, 100.3])
@pytest.mark.parametrize('name', DETECTORS)
def test_a_flat_image_holds_nothing(name, level):
    scores = detector(name)(np.full((30, 41), level))
    assert np.isfinite(scores).all()
    for rule in ('mean+12std', 'mean+0std', 'minmax0.5', 'peak0.7'):
        assert not get_rule(rule).detect(scores).any()
        assert not get_rule(rule).to_unit(scores).any()


@pytest.mark.parametrize('shape', [(1, 1), (1, 7), (5, 2), (3, 40)])
@pytest.mark.parametrize('name', FILTERS)
def test_filters_take_images_smaller_than_their_windows(name, shape):
    image = np.random.default_rng(1).integers(0, 256, shape)
    for options in ({}, {'border': 'symmetric'}, {'border': 'zero'}):
        if options and name.split('_')[0] in ('tophat', 'newtophat', 'log', 'dog'):
            continue
        scores = get_detector(name, **options)(image)
        assert scores.shape == shape
        assert np.isfinite(scores).all()


@pytest.mark.parametrize('name', LOW_RANK)
def test_low_rank_methods_say_when_an_image_is_smaller_than_a_patch(name):
    with pytest.raises(UserError, match='30 × 20 pixels are less than one patch'):
        DETECTORS[name](np.zeros((20, 30)))
    exact = detector(name)(scene(12, 12))
    assert exact.shape == (12, 12)


@pytest.mark.parametrize('name', LOW_RANK)
def test_low_rank_methods_find_a_target_in_a_smooth_scene(name):
    y, x = np.mgrid[:120, :130]
    image = 80 + 20 * np.sin(x / 25) + 15 * np.cos(y / 30)
    image[60:63, 70:73] += 60
    scores = DETECTORS[name](image)
    assert np.unravel_index(scores.argmax(), scores.shape)[0] in range(59, 64)
    assert get_rule().detect(scores)[61, 71]


@pytest.mark.parametrize('name', ['tophat', 'dog', 'log', 'maxmean', 'aagd', 'admd', 'mpcm'])
def test_differences_do_not_see_the_level(name):
    image = scene(40, 44).astype(np.float64)
    np.testing.assert_allclose(DETECTORS[name](image + 40), DETECTORS[name](image), atol=1e-9)


@pytest.mark.parametrize('name', FILTERS)
def test_a_mirrored_image_gives_a_mirrored_map(name):
    image = scene(37, 42)
    scores = DETECTORS[name](image)
    for turned, back in ((image[:, ::-1], np.s_[:, ::-1]), (image[::-1], np.s_[::-1])):
        np.testing.assert_allclose(
            DETECTORS[name](turned)[back], scores, rtol=1e-9, atol=1e-9 * max(1, scores.max())
        )


@pytest.mark.parametrize(('signed', 'bright'), [('mpcm_signed', 'mpcm'), ('aagd_signed', 'aagd')])
def test_only_signed_forms_answer_to_dark_spots(signed, bright):
    image = np.full((60, 60), 120.0)
    image[30:33, 30:33] = 20
    assert DETECTORS[signed](image)[31, 31] > 1000
    assert DETECTORS[bright](image)[31, 31] == 0


def test_border_options_matter_at_the_border_only():
    image = scene(60, 62)
    for name, reach in (('maxmean', 8), ('maxmedian', 8), ('lcm', 14), ('mpcm', 14), ('aagd', 10)):
        edge, mirrored = DETECTORS[name](image), get_detector(name, border='symmetric')(image)
        inside = np.s_[reach:-reach, reach:-reach]
        np.testing.assert_allclose(edge[inside], mirrored[inside], rtol=1e-12)
        assert np.abs(edge - mirrored).max() > 0


def test_colours_become_luma():
    blue, green, red = (np.full((4, 4), v, np.float64) for v in (200, 100, 50))
    grey = as_grey(np.stack([blue, green, red], -1))
    np.testing.assert_allclose(grey, 0.114 * 200 + 0.587 * 100 + 0.299 * 50)


@pytest.mark.parametrize(
    ('image', 'told'),
    [
        (np.zeros((3, 4, 5, 6)), r'shape \(3, 4, 5, 6\)'),
        (np.zeros((0, 5)), r'shape \(0, 5\)'),
        (np.full((9, 9), np.nan), 'not finite'),
    ],
)
def test_what_is_no_image_is_refused(image, told):
    with pytest.raises(UserError, match=told):
        DETECTORS['tophat'](image)


@pytest.mark.parametrize(
    ('name', 'options', 'told'),
    [
        ('top_hat', {}, "Did you mean 'tophat'"),
        ('tophat', {'sise': 3}, "no parameter 'sise'. Did you mean 'size'"),
        ('tophat', {'size': 4}, 'positive odd'),
        ('newtophat', {'inner': 13}, 'inner < outer'),
        ('maxmean', {'border': 'mirror'}, "border='mirror'"),
        ('hbmlcm', {'scales': (3, 15)}, 'below outer=15'),
        ('aagd', {'scales': (19,)}, 'below outer=19'),
        ('dog', {'sigmas': (2, 1)}, 'the smaller first'),
        ('log', {'sigmas': (0,)}, 'positive'),
        ('pstnn', {'reassembly': 'avarage'}, "reassembly='avarage'"),
        ('pstnn', {'step': 0}, '^step: found 0'),
        ('tophat', {'size': 'five'}, "size='five': expected positive odd"),
        ('tophat', {'size': float('nan')}, 'size=nan: expected positive odd'),
        ('tophat', {'size': None}, 'size=None: expected positive odd'),
        ('tophat', {'size': [3, 5]}, r'size=\[3, 5\]: expected one odd number'),
        ('tophat', {'size': 1}, '3 or more'),
        ('maxmean', {'length': 1}, '3 or more'),
        ('hbmlcm', {'boost': 1}, '3 or more'),
        ('hbmlcm', {'scales': 9}, 'scales=9: expected two or more'),
        ('newtophat', {'outer': [[3], 5]}, 'positive odd'),
        ('log', {'sigmas': (1, float('nan'))}, 'positive numbers'),
        ('log', {'sigmas': 'a'}, "sigmas='a': expected positive numbers"),
        ('tllcm', {'count': 0}, 'count: found 0, expected a whole number from 1'),
        ('wslcm', {'count': 2.5}, 'count: found 2.5, expected a whole number from 1'),
        ('wslcm', {'least_spread': 0}, 'least_spread: found 0, expected a number above 0'),
        ('nram', {'gamma': -1}, 'gamma: found -1, expected a number above 0'),
        ('ipi', {'tolerance': 'a'}, "tolerance: found 'a', expected a number above 0"),
        ('pstnn', {'weight': float('inf')}, 'weight: found inf, expected a number above 0'),
        ('lcm', {'eps': -1}, 'eps: found -1, expected a number from 0 on'),
        ('rlcm', {'counts': [[0, 4]]}, 'counts: found 0, expected a whole number from 1'),
        ('rlcm', {'counts': [2, 4]}, r'counts: found \[2, 4\], expected pairs'),
        ('rlcm', {'counts': []}, r'counts: found \[\], expected pairs'),
    ],
)
def test_wrong_arguments_are_told_in_a_line(name, options, told):
    with pytest.raises(UserError, match=told):
        get_detector(name, **options)(scene(64, 64))
