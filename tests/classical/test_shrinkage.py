"""Thresholding of singular values against a full decomposition."""

import numpy as np
import plain_low_rank
import pytest
from test_plain_forms import scene

from madnet.classical import get_detector
from madnet.classical.shrinkage import leading, rescale, row_blocks, shrink, singular_values

TALL, WIDE, SQUARE = (90, 61), (61, 90), (70, 70)


def matrices(shape, rank, steps=6, seed=0):
    """A large mean, a spectrum that falls by the rank, and noise; all of it drifts."""
    rng = np.random.default_rng(seed)
    parts = [rng.normal(size=(side, rank)) for side in shape]
    drifts = [rng.normal(size=(side, rank)) for side in shape]
    falling = np.geomspace(50, 2, rank)
    noise, drift = rng.normal(size=shape), rng.normal(size=shape)
    for step in range(steps):
        left, right = (part + 0.01 * step * change for part, change in zip(parts, drifts, strict=True))
        yield 40 + (left * falling) @ right.T / np.sqrt(left.size) + 0.1 * (noise + 0.05 * step * drift)


def assert_shrunk(matrix, threshold, accuracy=1e-10):
    left, right, values = shrink(matrix, threshold)
    expected, rank = plain_low_rank.shrink(matrix, threshold)
    scale = np.abs(matrix).max()
    np.testing.assert_allclose(left @ right, expected, rtol=0, atol=accuracy * scale)
    assert len(values) == rank
    singular = np.linalg.svd(matrix, compute_uv=False)[:rank]
    np.testing.assert_allclose(values, singular - threshold, rtol=0, atol=accuracy * scale * 100)


@pytest.mark.parametrize('rank', [3, 20, 60])
@pytest.mark.parametrize('shape', [TALL, WIDE, SQUARE])
def test_singular_values_are_shrunk(shape, rank):
    for step, matrix in enumerate(matrices(shape, rank)):
        assert_shrunk(matrix, threshold=3 * 0.8**step)


@pytest.mark.parametrize('shape', [(1, 1), (1, 7), (9, 1), (6, 9), (40, 50)])
def test_nothing_above_the_threshold_leaves_nothing(shape):
    for matrix in (np.zeros(shape), np.full(shape, 0.1)):
        left, right, values = shrink(matrix, 100.0)
        assert (left @ right).shape == shape
        assert not (left @ right).any()
        assert values.shape == (0,)


@pytest.mark.parametrize('shape', [TALL, WIDE])
def test_values_are_rescaled_and_at_least_n_kept(shape):
    for matrix in matrices(shape, rank=6):
        u, s, v = np.linalg.svd(matrix, full_matrices=False)
        for above, at_least in ((s[3] - 1e-3, 0), (s[2] - 1e-3, 5), (s[4] - 1e-3, 2)):
            count = max(int((s > above).sum()), at_least)
            left, right, values = rescale(matrix, above, lambda values: 1 / values, at_least)
            np.testing.assert_allclose(values, s[:count], rtol=1e-10)
            np.testing.assert_allclose(left @ right, u[:, :count] @ v[:count], rtol=0, atol=1e-10)


@pytest.mark.parametrize('shape', [TALL, WIDE])
def test_leading_values_and_their_vectors(shape):
    matrix = next(matrices(shape, rank=6))
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    values, left, right = leading(matrix, 5)
    np.testing.assert_allclose(values, s[:5], rtol=1e-12)
    np.testing.assert_allclose((left * values) @ right, (u[:, :5] * s[:5]) @ v[:5], atol=1e-10)
    np.testing.assert_allclose(left.T @ left, np.eye(5), atol=1e-10)
    np.testing.assert_allclose(singular_values(matrix), s, atol=1e-6)


def test_leading_of_nothing():
    values, left, right = leading(np.zeros((3, 4)), 7)
    assert not values.any()
    assert not right.any()
    assert left.shape == (3, 3)


def test_row_blocks_are_all_rows_once():
    for shape in ((1, 1), (3, 10**6), (1000, 2500), (70, 30, 30), (5, 0)):
        rows = np.arange(shape[0])
        np.testing.assert_array_equal(np.concatenate([rows[block] for block in row_blocks(shape)]), rows)


@pytest.mark.parametrize('name', ['ipi', 'ipialm', 'ript', 'nram'])
def test_detectors_do_not_depend_on_the_decomposition(name):
    image = scene(60, 66).astype(np.float64)
    scores = get_detector(name, patch=12, step=4)(image)
    expected = plain_low_rank.PLAIN[name](image, 12, 4)
    assert expected.max() > 0
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-7 * expected.max())
