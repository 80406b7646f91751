"""Score maps of real images against those of an independent implementation and of published programs."""

import json
import os
from functools import cache

import numpy as np
import pytest

from madnet.classical import get_detector
from madnet.images import read_image, to_channels

FILTER, LOW_RANK = 1e-9, 1e-6
MAP = 5e-4  # maps are kept as float16
FRAME = 14

#: Map → method, parameters, tolerance relative to the largest value.
DEFAULTS = {
    'tophat5': ('tophat', {}, FILTER),
    'newtophat13_9_13': ('newtophat', {}, FILTER),
    'maxmean15': ('maxmean', {}, FILTER),
    'maxmedian5': ('maxmedian_5', {}, FILTER),
    'maxmedian15': ('maxmedian', {}, FILTER),
    'log': ('log', {}, FILTER),
    'dog': ('dog', {}, FILTER),
    'lcm': ('lcm', {}, FILTER),
    'rlcm': ('rlcm', {}, FILTER),
    'mpcm': ('mpcm', {}, FILTER),
    'mpcm_signed': ('mpcm_signed', {}, FILTER),
    'hbmlcm9': ('hbmlcm', {}, FILTER),
    'tllcm': ('tllcm', {}, FILTER),
    'wslcm': ('wslcm', {}, FILTER),
    'admd': ('admd', {}, FILTER),
    'aagd': ('aagd', {}, FILTER),
    'pstnn': ('pstnn', {}, LOW_RANK),
    'ript': ('ript', {}, LOW_RANK),
    'ipi50': ('ipi', {}, LOW_RANK),
    'ipi_admm30': ('ipialm', {}, LOW_RANK),
    'nram': ('nram', {}, LOW_RANK),
}
_LINES = {'border': 'symmetric', 'clip': False}
_ZEROS = {'border': 'zero', 'eps': 0}
_LAST = {'reassembly': 'last'}
PUBLISHED = {
    'aadcdd': ('aadcdd', {}, FILTER),
    'aagd': ('aagd_signed', {}, FILTER),
    'admd': ('admd', {'ignore_outside': True}, FILTER),
    'hbmlcm9': ('hbmlcm', {}, FILTER),
    'lcm': ('lcm', {'border': 'symmetric', 'eps': 0}, FILTER),
    'maxmean5': ('maxmean_5', _LINES, FILTER),
    'maxmean15': ('maxmean', _LINES, FILTER),
    'maxmed5': ('maxmedian_5', _LINES, FILTER),
    'maxmed15': ('maxmedian', _LINES, FILTER),
    'mspcm': ('mpcm_signed', {'clip': False}, FILTER),
    'tophat5': ('tophat', {}, FILTER),
    'py_tophat': ('tophat', {}, FILTER),
    'py_hbmlcm_f': ('hbmlcm_5', {}, FILTER),
    'rlcm': ('rlcm', _ZEROS, FILTER),
    'tllcm9': ('tllcm_9', _ZEROS, FILTER),
    'tllcm3579': ('tllcm', {'scales': (3, 5, 7, 9), **_ZEROS}, FILTER),
    'wslcm': ('wslcm', _ZEROS, FILTER),
    'pstnn': ('pstnn', _LAST, LOW_RANK),
    'ript': ('ript', _LAST, LOW_RANK),
    'nram': ('nram', _LAST, LOW_RANK),
    'ipi': ('ipi', {'flush': False}, LOW_RANK),
}
#: Published maps that differ in a named way: method, least correlation, whether that of the interior, why.
NEARLY = {
    'py_mpcm_f': ('mpcm_signed', 0.99999, True, 'filters the filtered mean map, with a border of its own'),
    'py_lcm_f': ('lcm', 0.999, False, 'divides by zero on black cells'),
    'py_ipi30': ('ipialm', 0.98, False, 'its mean over patches leaves the last patch out'),
    'py_maxmedian15': ('maxmedian', 0.93, False, 'uses three of the four directions'),
}
#: Published maps that are another method, or broken.
OTHERS = {
    'mslog3': 'one Gaussian of 3 pixels, applied one, two and three times: another method than LoG',
    'py_fastsal': 'a saliency map, none of the detectors here',
    'py_pstnn': 'leaves frequency slices out and rounds its result to 8 bits',
    'py_mpcm_u8': '8-bit arithmetic saturates',
    'py_lcm_u8': '8-bit arithmetic overflows',
    'py_hbmlcm_u8': '8-bit arithmetic overflows',
}
IMAGES = (
    'IRSTD-1K__XDU17',
    'NUAA-SIRST__Misc_1',
    'NUAA-SIRST__Misc_111',
    'NUAA-SIRST__Misc_23',
    'NUAA-SIRST__Misc_250',
    'NUAA-SIRST__Misc_50',
    'NUDT-SIRST__000001',
)


# where there are no data sets, one image says so for all
@pytest.fixture(scope='module', params=IMAGES if 'MADNET_DATA_ROOT' in os.environ else IMAGES[:1])
def case(request, golden_dir, data_root):
    """(golden numbers, image (H, W), detector → its map, computed once)."""
    path = golden_dir / 'classical' / f'{request.param}.npz'
    dataset, name = request.param.split('__')
    image_path = data_root / dataset / 'images' / f'{name}.png'
    if not path.is_file() or not image_path.is_file():
        pytest.skip(f'{path.name} or its image is not at hand')
    with np.load(path) as archive:
        golden = dict(archive)
    image = to_channels(read_image(image_path), 1)[..., 0]
    assert image.shape == tuple(golden['_shape'])
    assert image.sum() == golden['_image_sum']

    @cache
    def scores(method: str, parameters: str) -> np.ndarray:
        return get_detector(method, **json.loads(parameters))(image)

    return golden, lambda method, parameters: scores(method, json.dumps(parameters))


def _maps(golden: dict, family: str) -> list[str]:
    names = {key.rsplit('.', 1)[0] for key in golden if not key.startswith('_')}
    return sorted(name.removeprefix(f'{family}.') for name in names if name.startswith(f'{family}.'))


def _check(golden: dict, key: str, scores: np.ndarray, tolerance: float) -> None:
    stat, probe = golden[f'{key}.stat'], golden[f'{key}.probe']
    low, high = stat[0], stat[1]
    own = [scores.min(), scores.max(), scores.mean(), scores.std()]
    rows, columns = golden['_probes_yx'].T
    clipped = low < 0 <= own[0]
    if clipped:  # a published map with its negatives, against one without
        own, stat, probe = own[1:2], stat[1:2], np.maximum(probe, 0)
    else:
        stat = stat[:4]
    np.testing.assert_allclose(own, stat, rtol=0, atol=tolerance * high, err_msg=key)
    np.testing.assert_allclose(scores[rows, columns], probe, rtol=0, atol=tolerance * high, err_msg=key)
    if f'{key}.map01' in golden:
        expected = golden[f'{key}.map01'].astype(np.float64)
        if clipped:
            expected = np.maximum(expected * (high - low) + low, 0) / high
            unit = scores / scores.max()
        else:
            unit = (scores - scores.min()) / np.ptp(scores)
        np.testing.assert_allclose(_part(golden, unit, expected), expected, rtol=0, atol=2 * MAP, err_msg=key)


def _part(golden: dict, scores: np.ndarray, expected: np.ndarray) -> np.ndarray:
    if scores.shape == expected.shape:
        return scores
    top, left, bottom, right = golden['_crop_y0x0y1x1']
    return scores[top:bottom, left:right]


@pytest.mark.parametrize('tolerance', [FILTER, LOW_RANK], ids=['filters', 'low-rank'])
def test_defaults_equal_an_independent_implementation(case, tolerance):
    golden, scores = case
    for name in _maps(golden, 'spec'):
        method, parameters, allowed = DEFAULTS[name]
        if allowed == tolerance:
            _check(golden, f'spec.{name}', scores(method, parameters), allowed)


@pytest.mark.parametrize('tolerance', [FILTER, LOW_RANK], ids=['filters', 'low-rank'])
def test_options_reproduce_published_programs(case, tolerance):
    golden, scores = case
    for name in _maps(golden, 'pub'):
        if name in PUBLISHED and PUBLISHED[name][2] == tolerance:
            method, parameters, allowed = PUBLISHED[name]
            _check(golden, f'pub.{name}', scores(method, parameters), allowed)


def test_published_programs_that_differ_in_a_named_way_are_near(case):
    golden, scores = case
    for name in _maps(golden, 'pub'):
        if name not in NEARLY:
            assert name in PUBLISHED or name in OTHERS, name
            continue
        method, correlation, interior, why = NEARLY[name]
        if method == 'ipialm' and golden['_shape'].prod() > 50_000:
            continue  # seconds each; the small images say the same
        expected = np.maximum(golden[f'pub.{name}.map01'].astype(np.float64), 0)
        own = _part(golden, scores(method, {}), expected)
        if interior and own.shape == tuple(golden['_shape']):
            own, expected = (m[FRAME:-FRAME, FRAME:-FRAME] for m in (own, expected))
        assert np.corrcoef(own.ravel(), expected.ravel())[0, 1] >= correlation, f'{name}: {why}'
