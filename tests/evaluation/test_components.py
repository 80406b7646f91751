import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from madnet.evaluation.components import find_components, grown
from madnet.evaluation.matching import match_components
from madnet.evaluation.rules import MATCHINGS

binary_maps = hnp.arrays(
    np.uint8, st.tuples(st.integers(1, 24), st.integers(1, 24)), elements=st.integers(0, 1)
)


@given(binary_maps)
@settings(max_examples=150, deadline=None)
def test_components_equal_scipys(binary):
    labels, n = ndimage.label(binary, np.ones((3, 3)))
    found = find_components(binary)
    np.testing.assert_array_equal(found.labels, labels)
    index = np.arange(1, n + 1)
    assert len(found) == n
    np.testing.assert_array_equal(found.areas, np.bincount(labels.ravel(), minlength=n + 1)[1:])
    if n:
        np.testing.assert_allclose(found.centroids[:, ::-1], ndimage.center_of_mass(binary, labels, index))
    for box, (rows, cols) in zip(found.boxes, ndimage.find_objects(labels), strict=True):
        assert tuple(box) == (cols.start, rows.start, cols.stop, rows.stop)


@pytest.mark.parametrize('dtype', [bool, np.uint8, np.int64, np.float32])
def test_components_of_any_dtype_and_layout(dtype):
    binary = np.zeros((6, 8), dtype)
    binary[1, 1] = binary[2, 2] = 1
    binary[4, 6] = 1
    assert list(find_components(binary).areas) == [2, 1]
    assert list(find_components(binary.T).areas) == [2, 1]
    assert list(find_components(binary[::-1]).areas) == [1, 2]


@given(binary_maps)
@settings(max_examples=50, deadline=None)
def test_without_raster_order_the_components_are_the_same(binary):
    ordered, loose = find_components(binary), find_components(binary, raster_order=False)
    assert sorted(map(tuple, ordered.boxes)) == sorted(map(tuple, loose.boxes))
    for k in range(len(loose)):
        assert (loose.labels == k + 1).sum() == loose.areas[k]


def test_more_components_than_sixteen_bits_count():
    binary = np.zeros((520, 520), bool)
    binary[::2, ::2] = True
    found = find_components(binary)
    assert len(found) == 260 * 260
    assert found.labels.max() == 260 * 260


def dots(*points, size=32):
    binary = np.zeros((size, size), bool)
    for x, y in points:
        binary[y, x] = True
    return find_components(binary)


def best_by_exhaustion(truth, pred, radius):
    """The most pairs, then the least total distance, by trying every assignment."""
    best = (0, 0.0)
    distance = np.linalg.norm(truth.centroids[:, None] - pred.centroids[None], axis=-1)
    slots = list(range(len(pred))) + [None] * len(truth)
    for assignment in set(itertools.permutations(slots, len(truth))):
        used = [distance[t, p] for t, p in enumerate(assignment) if p is not None]
        if all(d < radius for d in used):
            best = min(best, (-len(used), sum(used)))
    return -best[0], best[1]


@pytest.mark.parametrize('seed', range(12))
def test_one_to_one_is_the_best_of_all_assignments(seed):
    rng = np.random.default_rng(seed)
    truth, pred = (dots(*rng.integers(0, 5, (n, 2)) * 2, size=12) for n in (3, 4))
    match = match_components(truth, pred)
    count, total = best_by_exhaustion(truth, pred, 3.0)
    assert len(match.pairs) == count
    assert match.distances.sum() == pytest.approx(total)
    assert sorted([*match.pairs[:, 0], *match.missed]) == list(range(len(truth)))
    assert sorted([*match.pairs[:, 1], *match.false]) == list(range(len(pred)))


def test_greedy_takes_the_first_and_one_to_one_the_most():
    truth = dots((10, 10), (10, 8))
    pred = dots((10, 6), (10, 10))
    assert match_components(truth, pred, 'greedy').pairs.tolist() == [[0, 0], [1, 1]]
    truth, pred = dots((10, 10)), dots((10, 8), (11, 10))
    assert match_components(truth, pred, 'greedy').pairs.tolist() == [[0, 0]]
    assert match_components(truth, pred).pairs.tolist() == [[0, 1]]


@pytest.mark.parametrize('matching', MATCHINGS)
def test_exactly_the_radius_is_no_match(matching):
    assert len(match_components(dots((10, 10)), dots((13, 10)), matching).pairs) == 0
    assert len(match_components(dots((10, 10)), dots((12, 12)), matching).pairs) == 1
    assert len(match_components(dots((10, 10)), dots((13, 10)), matching, 3.5).pairs) == 1


@pytest.mark.parametrize('matching', MATCHINGS)
def test_nothing_on_either_side(matching):
    some, none = dots((3, 3)), dots()
    assert match_components(some, none, matching).missed.tolist() == [0]
    assert match_components(none, some, matching).false.tolist() == [0]
    assert match_components(none, none, matching).pairs.shape == (0, 2)


def test_equal_distances_take_the_larger_component_whatever_the_orientation():
    truth, pred = np.zeros((2, 24, 24), bool)
    truth[10, 10] = True
    pred[10, 8] = True
    pred[9:12, 11:14] = True
    for turns in range(4):
        p = find_components(np.rot90(pred, turns))
        match = match_components(find_components(np.rot90(truth, turns)), p)
        assert p.areas[match.false].tolist() == [1]


def test_grown_is_a_square_around_each_pixel():
    mask = np.zeros((20, 30), bool)
    mask[10, 12] = True
    near = grown(mask, 3)
    assert near.sum() == 49
    assert near[7, 9]
    assert not near[6, 12]
