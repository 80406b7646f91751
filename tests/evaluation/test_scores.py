"""Ranks, budgets, calibration, enhancement and the 3-D ROC against plain forms."""

import cv2
import numpy as np
import pytest

from madnet.evaluation import Evaluator
from madnet.evaluation.calibration import (
    PLAIN,
    RANGE,
    PlattScaling,
    expected_calibration_error,
    fit_scaling,
    reliability,
)
from madnet.evaluation.components import find_components
from madnet.evaluation.curves import ScoreHistogram, score_bins
from madnet.evaluation.enhancement import enhancement
from madnet.evaluation.ranking import cut_for_alarms, cut_for_budget, ranked_curve, separation, within_budget
from madnet.evaluation.strata import local_scr
from madnet.evaluation.targets import describe_components, rank
from madnet.images.score_maps import sixteen_bits


def blobs(seed, size=64, count=7):
    """A smooth random map of logits, (size, size) float32."""
    rng = np.random.default_rng(seed)
    field = cv2.GaussianBlur(rng.normal(0, 60, (size, size)).astype(np.float32), (0, 0), 2)
    return field - np.float32(np.sort(find_peaks(field))[-count])


def find_peaks(field):
    return field[field == cv2.dilate(field, np.ones((3, 3)))]


def test_components_are_described_as_by_a_loop():
    logits = blobs(0)
    image = np.random.default_rng(1).integers(0, 255, logits.shape).astype(np.uint8)
    components = find_components(logits > 0)
    assert len(components) > 2
    rows = describe_components(logits, components, image, scaling=None)
    scr = local_scr(image, components, alone=True)
    for k, row in enumerate(rows):
        own = logits[components.labels == k + 1].astype(np.float64)
        assert row['area'] == len(own)
        assert row['logit'] == own.max()
        assert row['mean_logit'] == pytest.approx(own.mean())
        assert row['scr'] == scr[k]
        one = find_components(components.labels == k + 1)
        assert row['scr'] == local_scr(image, one)[0]  # whatever else is detected
        assert row['rank'] == own.max() * scr[k]
    by_probability = describe_components(1 / (1 + np.exp(-logits)), components)
    assert np.allclose(by_probability['logit'], np.minimum(rows['logit'], 16.64), atol=0.05)
    assert np.isnan(by_probability['rank']).all()


def test_logits_come_back_from_probabilities():
    logits = np.linspace(-60, 60, 241).astype(np.float32)
    for scaling in (PlattScaling(4.0), PlattScaling(8.0), PlattScaling(8.0, -0.5)):
        scaled = logits / np.float32(scaling.temperature) + np.float32(scaling.bias)
        assert scaling.scaled(logits).tolist() == scaled.tolist()
        back = scaling.logits_of(1 / (1 + np.exp(-scaled)))
        assert np.allclose(back, logits, rtol=0, atol=1 if scaling.temperature == 4 else 0.01)
    assert np.isfinite(PLAIN.logits_of(np.array([0, 1], np.float32))).all()
    assert rank(np.array([2.0, 2.0, -1.0]), np.array([3.0, np.nan, 5.0])).tolist() == [6, 0, 0]


@pytest.mark.parametrize('seed', range(4))
def test_ranked_curve_equals_a_count_at_every_threshold(seed):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 12, 40).astype(float)  # many ties
    areas, hits = rng.integers(1, 30, 40), rng.random(40) < 0.4
    curve = ranked_curve(scores, areas, hits, 25, 10_000)
    assert curve['threshold'][1:].tolist() == sorted(set(scores), reverse=True)
    for t, pd, fa in zip(*curve.values(), strict=True):
        kept = scores >= t
        assert pd == (kept & hits).sum() / 25
        assert fa == areas[kept & ~hits].sum() / 10_000
    for budget in (0, 1e-3, 5e-3, 1):
        best = max(p for p, f in zip(curve['Pd'], curve['Fa'], strict=True) if f <= budget)
        assert within_budget(curve, budget)['Pd'] == best
        assert within_budget(curve, budget)['Fa'] <= budget


def test_the_cut_lies_between_what_is_kept_and_what_is_not():
    curve = ranked_curve(
        np.array([9.0, 7, 5, 1]), np.full(4, 10), np.array([True, True, False, True]), 4, 1000
    )
    assert cut_for_budget(curve, 0) == 6  # as good as 7 here, and kinder to other images
    assert cut_for_budget(curve, 0.01) == 0
    first_false = ranked_curve(np.array([9.0, 7]), np.full(2, 10), np.array([False, True]), 1, 1000)
    assert cut_for_budget(first_false, 0) == np.inf
    noise_free = ranked_curve(np.array([np.inf, np.inf, 3]), np.full(3, 10), np.array([1, 1, 0]), 2, 1000)
    assert within_budget(noise_free, 0)['Pd'] == 1
    assert 3 < within_budget(noise_free, 0)['threshold'] < np.inf
    assert 3 < cut_for_budget(noise_free, 0) < 3.001, 'a rank that can be read'


def test_no_detection_is_a_curve_too():
    curve = ranked_curve(np.zeros(0), np.zeros(0), np.zeros(0, bool), 3, 100)
    assert within_budget(curve, 1e-6) == {'threshold': np.inf, 'Pd': 0, 'Fa': 0}


def test_alarms_are_cut_to_so_many_a_frame():
    scores = np.array([5.0, 1, 4, 2, 3])
    for per_frame, kept in ((0, 0), (0.2, 2), (0.25, 2), (0.5, 5), (1, 5)):
        cut = cut_for_alarms(scores, 10, per_frame)
        assert (scores > cut).sum() == kept
    assert (
        np.array([2.0, 2, 2]) > cut_for_alarms(np.array([2.0, 2, 2]), 1, 2)
    ).sum() == 0  # ties go together


@pytest.mark.parametrize('seed', range(3))
def test_separation_equals_all_pairs(seed):
    rng = np.random.default_rng(seed)
    scores, hits = rng.integers(0, 9, 60).astype(float), rng.random(60) < 0.5
    a, b = scores[hits][:, None], scores[~hits]
    assert separation(scores, hits) == pytest.approx(((a > b) + 0.5 * (a == b)).mean())
    assert np.isnan(separation(scores, np.ones(60, bool)))


def test_calibration_error_equals_a_loop_over_bins():
    rng = np.random.default_rng(0)
    p = np.concatenate([rng.random(500), [0.0, 1.0]])
    y = rng.random(502) < p**2
    gap = 0.0
    for k in range(15):
        inside = (p >= k / 15) & ((p < (k + 1) / 15) | (k == 14))
        if inside.any():
            gap += inside.mean() * abs(p[inside].mean() - y[inside].mean())
    assert expected_calibration_error(reliability(p, y)) == pytest.approx(gap)
    assert np.isnan(expected_calibration_error(reliability(np.zeros(0), np.zeros(0))))


@pytest.mark.parametrize('bias', [0.0, -0.7])
def test_the_scaling_is_found_that_was_put_in(bias):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, 40_000)
    truth = rng.random(len(logits)) < 1 / (1 + np.exp(-logits))
    given = 5 * (logits - bias)
    temperature, found = fit_scaling(given, truth)
    assert (temperature, found) == (pytest.approx(5, rel=0.05), pytest.approx(bias, abs=0.05))
    before, after = (reliability(1 / (1 + np.exp(-x)), truth) for x in (given, given / temperature + found))
    assert expected_calibration_error(after) < expected_calibration_error(before) / 5


def test_the_scaling_of_what_is_perfectly_separated_is_finite():
    assert fit_scaling(np.array([-2.0, -1.0, 1.0, 2.0]), np.array([0, 0, 1, 1], bool))[0] >= RANGE[0]
    rng = np.random.default_rng(0)
    logits = np.concatenate([rng.uniform(-1, 20, 100), rng.uniform(-20, -3, 900)])
    temperature, bias = fit_scaling(logits, np.arange(1000) < 100)
    assert abs(bias) < 8
    threshold = np.float32(1 / (1 + np.exp(-bias)))
    near = np.linspace(-1, 1, 41, dtype=np.float32)
    scores = 1 / (1 + np.exp(-(near / np.float32(temperature) + np.float32(bias))))
    assert ((scores > threshold) == (near > 0)).all()


def test_enhancement_by_hand():
    rng = np.random.default_rng(0)
    image = rng.normal(100, 5, (80, 80))
    mask = np.zeros(image.shape, bool)
    mask[40:43, 30:33] = True
    image[mask] += 40
    targets = find_components(mask)
    scores = np.where(mask, 1.0, 0.01 * rng.random(image.shape))
    found = enhancement(image, scores, targets)
    window = np.s_[20:63, 10:53]
    ring = ~mask[window]

    def parts(values):
        values = (values - values.min()) / (values.max() - values.min())
        outside = values[window][ring]
        contrast = abs(values[mask].mean() - outside.mean())
        return contrast, contrast / outside.std(), values[~mask].std()

    before, after = parts(image), parts(scores)
    assert found['CG'] == pytest.approx([after[0] / before[0]])
    assert found['SCRG'] == pytest.approx([after[1] / before[1]])
    assert found['BSF'] == pytest.approx(before[2] / after[2])
    assert enhancement(image, mask.astype(float), targets)['SCRG'].tolist() == [np.inf]
    colours = np.dstack([image / 3, image, 255 - image / 2]).astype(np.uint8)
    of_grey = enhancement(cv2.cvtColor(colours, cv2.COLOR_BGR2GRAY), scores, targets)
    assert enhancement(colours, scores, targets)['SCRG'] == pytest.approx(of_grey['SCRG'])


def test_areas_of_the_3d_roc_are_integrals_over_the_threshold():
    rng = np.random.default_rng(0)
    truth = rng.random((40, 40)) < 0.1
    prob = np.clip(rng.beta(1, 6, truth.shape) + 0.5 * truth * rng.random(truth.shape), 0, 1).astype(
        np.float32
    )
    histogram = ScoreHistogram()
    histogram.add(ScoreHistogram.count(score_bins(prob), truth))
    found = histogram.roc_3d()
    taus = (np.arange(20_000) + 0.5) / 20_000
    for name, pixels in (('AUC(D,tau)', prob[truth]), ('AUC(F,tau)', prob[~truth])):
        rates = 1 - np.searchsorted(np.sort(pixels), taus, side='right') / len(pixels)
        assert found[name] == pytest.approx(rates.mean(), abs=1e-3)
    d, f, area = found['AUC(D,tau)'], found['AUC(F,tau)'], found['AUC(D,F)']
    assert area == histogram.auc()
    assert found['AUC_OD'] == pytest.approx(area + d - f)
    assert found['AUC_TD'] == pytest.approx(area + d)
    assert found['AUC_BS'] == pytest.approx(area - f)
    assert found['AUC_TDBS'] == pytest.approx(d - f)
    assert found['AUC_ODP'] == pytest.approx(d + 1 - f)
    assert found['AUC_SNPR'] == pytest.approx(d / f)
    assert np.isnan(ScoreHistogram().roc_3d()['AUC(D,tau)'])


def test_an_evaluation_ranks_by_logits_that_a_sigmoid_has_rounded_to_one():
    truth = np.zeros((60, 60), bool)
    logits = np.full(truth.shape, -30, np.float32)
    image = np.random.default_rng(0).normal(100, 4, truth.shape)
    truth[10:13, 10:13] = True
    for (y, x), peak, light in (((10, 10), 40, 60), ((40, 40), 25, 9)):  # a hit, and a false alarm
        logits[y : y + 3, x : x + 3] = peak
        image[y : y + 3, x : x + 3] += light
    probabilities = 1 / (1 + np.exp(-logits))
    assert (probabilities[logits > 0] == 1).all()
    evaluator = Evaluator()
    evaluator.update(probabilities, truth, net_logits=logits, image=image)
    rows = evaluator.predicted('native')
    assert rows['logit'].tolist() == [40, 25]
    assert rows['matched'].tolist() == [1, 0]
    numbers = evaluator.compute()['native']
    assert (numbers['Pd@1e-6'], numbers['AUC_rank'], numbers['Fa']) == (1, 1, 9 / 3600)
    curve = evaluator.details(resamples=0)['native']['ranked']
    assert (curve['Pd'], curve['Fa']) == ([1, 1], [0, 9 / 3600])
    without = Evaluator()
    without.update(probabilities, truth)
    assert without.compute()['native']['Pd@1e-6'] == 0  # both are 1: they go together


def test_a_score_of_one_half_stays_background_in_a_file():
    half = np.float32(0.5)
    scores = np.array([0, 0.25, np.nextafter(half, 0), half, np.nextafter(half, 1), 1], np.float32)
    kept = sixteen_bits(scores)
    assert kept.dtype == np.uint16
    assert ((kept / 65535 > 0.5) == (scores > 0.5)).all()
    assert (kept[0], kept[-1]) == (0, 65535)
