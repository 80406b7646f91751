from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import rankdata

from madnet.evaluation import find_components, match_components
from madnet.evaluation.curves import (
    BINS,
    ELEVEN_THRESHOLDS,
    PD_FA_THRESHOLDS,
    THRESHOLDS,
    ScoreHistogram,
    eleven_counts,
    pd_fa_counts,
    score_bins,
    thin,
)

from . import plain

probabilities = st.floats(0, 1, width=32) | st.sampled_from([0.0, 1.0, 0.5, np.float32(1 / 3).item()])


def histogram_of(prob, truth):
    histogram = ScoreHistogram()
    histogram.add(ScoreHistogram.count(score_bins(prob), truth))
    return histogram


@given(hnp.arrays(np.float32, (1, 30), elements=probabilities))
@settings(max_examples=300, deadline=None)
def test_bins_are_what_their_thresholds_say(prob):
    bins = score_bins(prob).astype(int)
    assert bins.max() < BINS
    assert (prob.astype(np.float64) > THRESHOLDS[bins]).all()
    inner = bins < BINS - 1
    assert not (prob.astype(np.float64)[inner] > THRESHOLDS[bins[inner] + 1]).any()
    order = np.argsort(prob[0], kind='stable')
    assert (np.diff(bins[0][order]) >= 0).all()


def test_thresholds_rise_and_eight_bit_levels_stay_apart():
    assert len(THRESHOLDS) == BINS
    assert (np.diff(THRESHOLDS) >= 0).all()
    levels = (np.arange(256) / 255).astype(np.float32)[None]
    assert len(np.unique(score_bins(levels))) == 256
    assert 0.5 in THRESHOLDS


def test_a_threshold_near_one_keeps_the_scores_that_it_was_found_by():
    scores = (1 - np.arange(1, 600, dtype=np.float32) * np.float32(2.0**-24)).astype(np.float32)
    own = THRESHOLDS[score_bins(scores[None])[0]]
    assert all((scores[i : i + 1] > float(threshold)).all() for i, threshold in enumerate(own))


def rounded_scene(seed):
    """A scene on 8-bit levels, where bins lose nothing, so that curves must be exact."""
    prob, mask = plain.scene(np.random.default_rng(seed), noise=0.15)
    return (np.round(prob * 255) / 255).astype(np.float32), mask > 127


@pytest.mark.parametrize('seed', range(5))
def test_auc_is_mann_whitney(seed):
    prob, truth = rounded_scene(seed)
    ranks = rankdata(prob).reshape(prob.shape)
    positive, negative = truth.sum(), (~truth).sum()
    expected = (ranks[truth].sum() - positive * (positive + 1) / 2) / (positive * negative)
    assert histogram_of(prob, truth).auc() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize('seed', range(5))
def test_curves_equal_one_pass_per_threshold(seed):
    prob, truth = rounded_scene(seed)
    histogram = histogram_of(prob, truth)
    roc, pr = histogram.roc(), histogram.pr()
    assert (roc['fpr'][0], roc['tpr'][0], roc['fpr'][-1], roc['tpr'][-1]) == (0, 0, 1, 1)
    for k in range(1, len(roc['fpr'])):
        pred = prob > roc['threshold'][k]
        assert roc['tpr'][k] == pytest.approx((pred & truth).sum() / truth.sum())
        assert roc['fpr'][k] == pytest.approx((pred & ~truth).sum() / (~truth).sum())
    area, recall_before = 0.0, 0.0
    for level in np.unique(prob)[::-1]:
        pred = prob >= level
        recall, precision = (pred & truth).sum() / truth.sum(), (pred & truth).sum() / pred.sum()
        area += (recall - recall_before) * precision
        recall_before = recall
    assert histogram.ap() == pytest.approx(area)
    assert pr['recall'][-1] == 1


@pytest.mark.parametrize('seed', range(5))
def test_best_threshold(seed):
    prob, truth = rounded_scene(seed)
    histogram = histogram_of(prob, truth)
    threshold, iou = histogram.best_threshold()
    by_level = {
        level: ((prob > level) & truth).sum() / ((prob > level) | truth).sum() for level in np.unique(prob)
    }
    assert iou == pytest.approx(max(by_level.values()))
    pred = prob > threshold
    assert (pred & truth).sum() / (pred | truth).sum() == pytest.approx(iou)


def test_curves_without_one_of_the_classes():
    prob = np.full((4, 4), 0.3, np.float32)
    for truth in (np.zeros((4, 4), bool), np.ones((4, 4), bool)):
        assert np.isnan(histogram_of(prob, truth).auc())
    assert np.isnan(histogram_of(prob, np.zeros((4, 4), bool)).ap())
    assert histogram_of(prob, np.zeros((4, 4), bool)).best_threshold()[0] == 0.5
    assert np.isnan(ScoreHistogram().auc())


def test_what_ties_of_the_lowest_score_leave_open():
    truth = np.array([1, 1, 0, 1, 0, 0, 1], bool)
    prob = np.array([0.9, 0.7, 0.6, 0, 0, 0, 0], np.float32)
    possible = histogram_of(prob, truth).lost_order()
    tied = permutations((0.1, 0.2, 0.3, 0.4))
    orders = [histogram_of(np.float32([*prob[:3], *order]), truth) for order in tied]
    for metric, values in (('AUC', [h.auc() for h in orders]), ('AP', [h.ap() for h in orders])):
        assert possible[metric] == pytest.approx((min(values), max(values)))
    # alone in its bin, a pixel has no order to lose
    exact = orders[0].lost_order()
    assert exact['AUC'] == pytest.approx((orders[0].auc(),) * 2)
    assert exact['AP'] == pytest.approx((orders[0].ap(),) * 2)
    for one_class in (np.zeros(7, bool), np.ones(7, bool)):
        assert np.isnan([*histogram_of(prob, one_class).lost_order().values()]).all()


def test_near_ones_and_near_zeros_are_told_apart():
    prob = np.array([[1e-7, 1e-6, 1e-5, 1 - 1e-5, 1 - 1e-6, 1 - 1e-7]], np.float32)
    assert len(np.unique(score_bins(prob))) == 6
    truth = np.array([[False, True, False, True, False, True]])
    assert histogram_of(prob, truth).auc() == pytest.approx(6 / 9)


@given(st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_pd_fa_curve_equals_plain_loops(seed):
    prob, mask = plain.scene(np.random.default_rng(seed), noise=0.08)
    matched, false = pd_fa_counts(prob, find_components(mask > 127), matching='greedy')
    for k, threshold in enumerate(PD_FA_THRESHOLDS):
        if plain.on_the_rim(plain.regions(mask > 127), plain.regions(prob > np.float32(threshold))):
            continue  # seed 520 has centres 2.4 and 1.8 apart
        _, _, _, expected, expected_false = plain.counts(prob, mask, np.float32(threshold))
        assert (matched[k], false[k]) == (expected, expected_false)


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_pd_fa_curve_equals_a_match_at_every_threshold(seed):
    prob, mask = plain.scene(np.random.default_rng(seed), blobs=7, shift=3, noise=0.15)
    truth = find_components(mask > 127)
    matched, false = pd_fa_counts(prob, truth)
    for k, threshold in enumerate(PD_FA_THRESHOLDS):
        pred = find_components(prob > threshold)
        match = match_components(truth, pred)
        assert (matched[k], false[k]) == (len(match.pairs), pred.areas[match.false].sum())


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_eleven_counts_equal_comparisons_with_a_float_target(seed):
    rng = np.random.default_rng(seed)
    prob = rng.choice(np.array([0, 0.05, 0.1, 0.3, 0.5, 0.55, 0.9, 1], np.float32), (12, 12))
    mask = rng.choice(np.array([0, 1, 128, 254, 255], np.uint8), (12, 12))
    target = mask / 255
    counts = eleven_counts(prob, mask)
    for k, threshold in enumerate(ELEVEN_THRESHOLDS):
        pred = (prob > np.float32(threshold)).astype(float)
        tp = (pred * (pred == target)).sum()
        fp = (pred * (pred != target)).sum()
        tn = ((1 - pred) * (pred == target)).sum()
        fn = ((pred != target) * (1 - pred)).sum()
        assert counts[:, k].tolist() == [tp, fp, tp + fn, fp + tn]


def test_thinning_keeps_the_ends_and_the_order():
    x = np.sort(np.random.default_rng(0).random(5000) ** 6)
    thinned = thin({'fpr': x, 'tpr': np.sqrt(x)}, 'fpr', 100)
    assert len(thinned['fpr']) <= 100
    assert (thinned['fpr'][0], thinned['fpr'][-1]) == (x[0], x[-1])
    assert thinned['tpr'] == pytest.approx(np.sqrt(thinned['fpr']))
    assert np.diff(thinned['fpr']).min() > 0
