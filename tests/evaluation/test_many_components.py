"""Thousands of specks: the numbers of full matrices of targets × predictions, without such matrices."""

import tracemalloc

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from madnet.errors import UserError
from madnet.evaluation import Evaluator, find_components
from madnet.evaluation.components import find_overlaps
from madnet.evaluation.hiou import hierarchy_counts
from madnet.evaluation.matching import match_components
from madnet.evaluation.protocols import make_protocol


def specks(rng, n, size, largest=1):
    """(size, size) bool with up to n components of up to largest × largest pixels."""
    binary = np.zeros((size, size), bool)
    for x, y, w, h in zip(*rng.integers(0, size, (2, n)), *rng.integers(1, largest + 1, (2, n)), strict=True):
        binary[y : y + h, x : x + w] = True
    return binary


def all_distances(truth, pred):
    return np.linalg.norm(truth.centroids[:, None] - pred.centroids[None], axis=-1)


def all_overlaps(truth, pred):
    return np.array(
        [
            [np.sum((truth.labels == t + 1) & (pred.labels == p + 1)) for p in range(len(pred))]
            for t in range(len(truth))
        ]
    ).reshape(len(truth), len(pred))


def match_in_full(distance, areas, matching, radius):
    """Pairs by the whole matrix."""
    if matching == 'greedy':
        pairs, free = [], np.ones(distance.shape[1], bool)
        for t, row in enumerate(distance):
            candidates = np.flatnonzero((row < radius) & free)
            if len(candidates):
                pairs.append((t, candidates[0]))
                free[candidates[0]] = False
        return np.array(pairs, int).reshape(-1, 2)
    near = distance < radius - 1e-9
    cost = np.where(near, distance - 1e-7 * areas / areas.max(), (radius + 1) * (min(near.shape) + 1))
    t, p = linear_sum_assignment(cost)
    return np.stack([t, p], 1)[near[t, p]]


@pytest.mark.parametrize('matching', ['one-to-one', 'greedy'])
@pytest.mark.parametrize('seed', range(12))
def test_matches_are_those_of_the_full_matrix(matching, seed):
    rng = np.random.default_rng(seed)
    n, m = rng.integers(1, 400, 2)
    truth, pred = (find_components(specks(rng, k, 96, largest=4)) for k in (n, m))
    radius = rng.choice([1.5, 3.0, 6.0])
    distance = all_distances(truth, pred)
    expected = match_in_full(distance, pred.areas, matching, radius)
    match = match_components(truth, pred, matching, radius)
    np.testing.assert_allclose(match.distances, distance[tuple(match.pairs.T)])
    if matching == 'greedy':
        np.testing.assert_array_equal(match.pairs, expected)
    # where two assignments are equally good, either may come
    assert len(match.pairs) == len(expected)
    assert match.distances.sum() == pytest.approx(distance[tuple(expected.T)].sum(), abs=1e-6)
    assert pred.areas[match.false].sum() == pred.areas.sum() - pred.areas[expected[:, 1]].sum()
    assert (np.diff(match.pairs[:, 0]) > 0).all()
    assert len(np.unique(match.pairs[:, 1])) == len(match.pairs)


@pytest.mark.parametrize('seed', range(6))
def test_overlaps_are_those_of_the_full_matrix(seed):
    rng = np.random.default_rng(seed)
    truth, pred = (
        find_components(specks(rng, n, 40, largest=6), seed % 2 == 0) for n in rng.integers(1, 30, 2)
    )
    full = all_overlaps(truth, pred)
    overlaps = find_overlaps(truth, pred)
    np.testing.assert_array_equal(overlaps.pairs, np.argwhere(full))
    np.testing.assert_array_equal(overlaps.pixels, full[full > 0])
    t, p = (side.ravel() for side in np.indices(full.shape))
    np.testing.assert_array_equal(overlaps.of(t, p), full.ravel())


def hierarchy_in_full(truth, pred, threshold=0.5, radius=3.0):
    distance, overlap = all_distances(truth, pred), all_overlaps(truth, pred)
    union = truth.areas[:, None] + pred.areas - overlap
    alike, near = overlap / union >= threshold, distance < radius
    matched = np.zeros(distance.shape, bool)
    matched[linear_sum_assignment(distance)] = True
    matched &= alike
    rest = np.ix_(~matched.any(1), ~matched.any(0))
    again = np.zeros(distance[rest].shape, bool)
    again[linear_sum_assignment(distance[rest])] = True
    matched[rest] = again & near[rest]
    t, p = matched.nonzero()
    hit, whole, on_any = overlap[t, p], union[t, p], overlap.sum(0)[p]
    alone_pred, alone_truth = ((~(alike | near).any(axis)).sum() for axis in (0, 1))
    left_pred, left_truth = len(pred) - len(p), len(truth) - len(t)
    shares = [hit, on_any - hit, pred.areas[p] - on_any, truth.areas[t] - hit]
    return (
        len(t),
        left_pred,
        left_truth,
        *[(share / whole).sum() for share in shares],
        alone_pred,
        alone_truth,
        left_pred - alone_pred,
        left_truth - alone_truth,
    )


@pytest.mark.parametrize('seed', range(12))
def test_hiou_is_that_of_the_full_matrix(seed):
    rng = np.random.default_rng(seed)
    n, m = rng.integers(1, 60, 2)
    truth, pred = (find_components(specks(rng, k, 64, largest=6)) for k in (n, m))
    np.testing.assert_array_equal(hierarchy_counts(truth, pred), hierarchy_in_full(truth, pred))


def peak_megabytes(call):
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def test_fifty_thousand_components_take_little_memory():
    grid = np.zeros((2048, 2048), bool)
    grid[::9, ::9] = True
    truth, pred = find_components(grid), find_components(np.roll(grid, (1, 2), (0, 1)))
    assert len(truth) == len(pred) == 228**2
    match = match_components(truth, pred)
    assert len(match.pairs) == len(truth)
    # a matrix would have 22 GB
    assert peak_megabytes(lambda: match_components(truth, pred)) < 60
    # so near each other that it is one assignment of all of them: a matrix would have 1.7 GB
    grid[:] = False
    grid[:240:2, :240:2] = True
    dense = find_components(grid)
    assert peak_megabytes(lambda: match_components(dense, dense)) < 100
    assert len(match_components(dense, dense).pairs) == len(dense)


def test_hiou_of_too_many_pairs_is_refused_with_the_image():
    score = np.zeros((1024, 1024), np.float32)
    score[::8, ::8] = 1
    mask = (score * 255).astype(np.uint8)
    with pytest.raises(UserError, match=r'^speckled: 16384 targets and 16384 predicted .* hIoU.* dnanet'):
        Evaluator('native').update(score, mask, 'speckled')
    evaluator = Evaluator(make_protocol('dnanet', name='dnanet', resolution='native'), curves=False)
    evaluator.update(score, mask, 'speckled')
    assert evaluator.compute()['dnanet']['Pd'] == 1
