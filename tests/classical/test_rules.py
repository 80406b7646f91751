"""Threshold rules, and their maps on the scale of probabilities."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from madnet.classical import DEFAULT_RULE, get_rule
from madnet.errors import UserError

RULES = ('mean+12std', 'mean+0std', 'mean+3.5std', 'minmax0.5', 'minmax0', 'minmax1', 'peak0.7')
maps = arrays.arrays(
    np.float64, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.floats(0, 1e9, width=32)
)


def test_the_formulas():
    scores = np.zeros((20, 20))
    scores[3, 4], scores[7, 8] = 100, 60
    mean, std = scores.mean(), scores.std(ddof=0)
    assert get_rule('mean+12std').threshold(scores) == pytest.approx(mean + 12 * std)
    assert get_rule('minmax0.5').threshold(scores + 7) == pytest.approx(57)
    assert get_rule('peak0.7').threshold(scores) == pytest.approx(max(70, mean + 0.5 * std))
    assert DEFAULT_RULE == 'mean+12std'
    np.testing.assert_array_equal(np.argwhere(get_rule().detect(scores)), [[3, 4]])
    assert get_rule('mean+3std').detect(scores).sum() == 2


def test_exactly_at_the_threshold_is_no_detection():
    assert get_rule('minmax0.5').detect(np.array([[0.0, 1, 2]])).tolist() == [[False, False, True]]


@settings(max_examples=150, deadline=None)
@given(scores=maps, name=st.sampled_from(RULES))
def test_the_unit_map_decides_as_the_rule_and_keeps_the_order(scores, name):
    rule = get_rule(name)
    unit, found = rule.to_unit(scores), rule.detect(scores)
    assert unit.dtype == np.float32
    assert unit.min() >= 0
    assert unit.max() <= 1
    np.testing.assert_array_equal(unit > 0.5, found)
    order = np.argsort(scores, axis=None)
    assert (np.diff(unit.ravel()[order]) >= 0).all()
    # a map saved with 16 bits decides the same
    saved = np.round(unit.astype(np.float64) * 65535) / 65535
    np.testing.assert_array_equal(saved > 0.5, found)


@settings(max_examples=60, deadline=None)
@given(
    scores=arrays.arrays(np.float64, (6, 7), elements=st.integers(0, 255)),
    gain=st.sampled_from([0.25, 1.0, 4.0]),
    name=st.sampled_from(RULES),
)
def test_scaling_the_scores_changes_nothing(scores, gain, name):
    rule = get_rule(name)
    np.testing.assert_array_equal(rule.detect(scores * gain), rule.detect(scores))


def test_min_max_is_the_plain_scale():
    scores = np.linspace(3, 11, 81).reshape(9, 9)
    unit = get_rule('minmax0.5').to_unit(scores)
    expected = (scores - 3) / 8
    away = np.abs(expected - 0.5) > 1e-4
    np.testing.assert_allclose(unit[away], expected[away], atol=1e-6)


def test_where_nothing_is_found_the_maximum_stays_below_half():
    scores = np.random.default_rng(0).random((50, 50))
    assert not get_rule().detect(scores).any()
    unit = get_rule().to_unit(scores)
    assert 0 < unit.max() < 0.5


@pytest.mark.parametrize('name', ['mean12std', 'mean+std', 'otsu', 'minmax', '', 'mean+-3std', None])
def test_other_names_are_refused(name):
    with pytest.raises(UserError, match='unknown threshold rule'):
        get_rule(name)
