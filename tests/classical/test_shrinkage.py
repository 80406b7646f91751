"""Thresholding of singular values, along a sequence of matrices, against a full decomposition."""

import numpy as np
import plain_low_rank
import pytest
from test_plain_forms import scene

from madnet.classical import get_detector, shrinkage
from madnet.classical.shrinkage import SingularShrinker, row_blocks, singular_values

TALL, WIDE, SQUARE = (90, 61), (61, 90), (70, 70)


@pytest.fixture
def small_krylov(monkeypatch):
    """Krylov spaces on small matrices too; gives the number of eigenproblems solved instead of them."""
    monkeypatch.setattr(shrinkage, '_KRYLOV_SIDE', 30)
    monkeypatch.setattr(shrinkage, '_KRYLOV_SPACE', 0.95)
    monkeypatch.setattr(shrinkage, '_KRYLOV_SPACE_SETTLED', 0.95)
    sizes = []
    decompose = SingularShrinker._decompose
    monkeypatch.setattr(
        SingularShrinker, '_decompose', lambda self, *args: sizes.append(args) or decompose(self, *args)
    )
    return sizes


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


def assert_shrunk(shrinker, matrix, threshold, accuracy=1e-10):
    left, right, values = shrinker.shrink(matrix, threshold)
    expected, rank = plain_low_rank.shrink(matrix, threshold)
    scale = np.abs(matrix).max()
    np.testing.assert_allclose(left @ right, expected, rtol=0, atol=accuracy * scale)
    assert len(values) == rank
    singular = np.linalg.svd(matrix, compute_uv=False)[:rank]
    np.testing.assert_allclose(values, singular - threshold, rtol=0, atol=accuracy * scale * 100)


@pytest.mark.parametrize('rank', [3, 20, 60])
@pytest.mark.parametrize('shape', [TALL, WIDE, SQUARE])
def test_singular_values_are_shrunk(shape, rank):
    shrinker = SingularShrinker()
    for step, matrix in enumerate(matrices(shape, rank)):
        assert_shrunk(shrinker, matrix, threshold=3 * 0.8**step)


@pytest.mark.parametrize('rank', [2, 5])
@pytest.mark.parametrize('shape', [TALL, WIDE, SQUARE])
def test_krylov_spaces_follow_a_sequence(small_krylov, shape, rank):
    shrinker = SingularShrinker(residual=1e-4)
    for step, matrix in enumerate(matrices(shape, rank)):
        assert_shrunk(shrinker, matrix, threshold=4 * 0.98**step, accuracy=1e-7)
    assert len(small_krylov) == 1  # the first


def test_krylov_spaces_follow_large_matrices(monkeypatch):
    shrinker = SingularShrinker()
    sequence = matrices((1000, shrinkage._KRYLOV_SIDE), rank=9, steps=3)
    assert_shrunk(shrinker, next(sequence), threshold=6)
    monkeypatch.delattr(SingularShrinker, '_decompose')
    for matrix in sequence:
        assert_shrunk(shrinker, matrix, threshold=6, accuracy=1e-7)


@pytest.mark.parametrize('shape', [TALL, WIDE])
def test_a_rank_that_grows_leaves_the_krylov_space(small_krylov, shape):
    shrinker = SingularShrinker()
    for matrix, threshold in zip(matrices(shape, rank=61), (20, 15, 8, 2, 0.5, 0.1), strict=True):
        assert_shrunk(shrinker, matrix, threshold, accuracy=1e-6)
    assert len(small_krylov) > 1


def test_a_sequence_may_jump(small_krylov):
    shrinker = SingularShrinker()
    for seed in range(4):
        (matrix,) = matrices(WIDE, rank=4, steps=1, seed=seed)
        assert_shrunk(shrinker, matrix, threshold=3, accuracy=1e-6)


@pytest.mark.parametrize(('residual', 'accuracy'), [(1e-3, 1e-7), (0.03, 1e-4)])
def test_a_value_that_rises_from_outside_is_found(small_krylov, residual, accuracy):
    rng = np.random.default_rng(1)
    left, right = (np.linalg.qr(rng.normal(size=(side, 40)))[0] for side in (60, 80))
    values = np.geomspace(100, 0.01, 40)
    shrinker = SingularShrinker(residual)
    assert_shrunk(shrinker, (left * values) @ right.T, threshold=20)
    # the vectors stay exactly what they were
    values[35] = 60
    assert_shrunk(shrinker, (left * values) @ right.T, threshold=20, accuracy=accuracy)
    assert len(small_krylov) == 1


@pytest.mark.parametrize(
    ('drift', 'followed'),
    [(1e-4, range(8, 11)), (0.3, range(1, 4))],  # of 11: hardly changing, and so much that no space suffices
)
def test_where_the_number_has_settled_larger_spaces_are_tried(monkeypatch, drift, followed):
    monkeypatch.setattr(shrinkage, '_KRYLOV_SIDE', 30)
    begun = []
    orthonormal = shrinkage._orthonormal
    monkeypatch.setattr(shrinkage, '_orthonormal', lambda *args: begun.append(args) or orthonormal(*args))
    rng = np.random.default_rng(2)
    left, right = (np.linalg.qr(rng.normal(size=(side, 120)))[0] for side in (120, 150))
    values = np.geomspace(50, 0.5, 120)
    shrinker, tries = SingularShrinker(residual=0.03), 0
    for _ in range(12):
        begun.clear()
        # 24 values: a space from their block could not triple, as a changing number of them asks for
        assert_shrunk(shrinker, (left * values) @ right.T, threshold=values[23] - 0.1, accuracy=1e-4)
        tries += bool(begun)
        left, right = (np.linalg.qr(v + drift * rng.normal(size=v.shape) / 11)[0] for v in (left, right))
    assert tries in followed


@pytest.mark.parametrize('shape', [(1, 1), (1, 7), (9, 1), (6, 9), (40, 50)])
def test_nothing_above_the_threshold_leaves_nothing(small_krylov, shape):
    shrinker = SingularShrinker()
    for matrix in (np.zeros(shape), np.full(shape, 0.1), np.zeros(shape)):
        left, right, values = shrinker.shrink(matrix, 100.0)
        assert (left @ right).shape == shape
        assert not (left @ right).any()
        assert values.shape == (0,)


@pytest.mark.parametrize('shape', [TALL, WIDE])
@pytest.mark.parametrize('krylov_side', [30, 10**6])
def test_values_are_rescaled_and_at_least_so_many_kept(monkeypatch, shape, krylov_side):
    monkeypatch.setattr(shrinkage, '_KRYLOV_SIDE', krylov_side)
    shrinker = SingularShrinker(residual=1e-5)
    for matrix in matrices(shape, rank=6):
        u, s, v = np.linalg.svd(matrix, full_matrices=False)
        for above, at_least in ((s[3] - 1e-3, 0), (s[2] - 1e-3, 5), (s[4] - 1e-3, 2)):
            count = max(int((s > above).sum()), at_least)
            left, right, values = shrinker.rescale(matrix, above, lambda values: 1 / values, at_least)
            np.testing.assert_allclose(values, s[:count], rtol=1e-8)
            np.testing.assert_allclose(left @ right, u[:, :count] @ v[:count], rtol=0, atol=1e-5)


@pytest.mark.parametrize('shape', [TALL, WIDE])
def test_leading_values_and_their_vectors(shape):
    matrix = next(matrices(shape, rank=6))
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    values, left, right = SingularShrinker().leading(matrix, 5)
    np.testing.assert_allclose(values, s[:5], rtol=1e-12)
    np.testing.assert_allclose((left * values) @ right, (u[:, :5] * s[:5]) @ v[:5], atol=1e-10)
    np.testing.assert_allclose(left.T @ left, np.eye(5), atol=1e-10)
    np.testing.assert_allclose(singular_values(matrix), s, atol=1e-6)


def test_leading_of_nothing():
    values, left, right = SingularShrinker().leading(np.zeros((3, 4)), 7)
    assert not values.any()
    assert not right.any()
    assert left.shape == (3, 3)


def test_row_blocks_are_all_rows_once():
    for shape in ((1, 1), (3, 10**6), (1000, 2500), (70, 30, 30), (5, 0)):
        rows = np.arange(shape[0])
        np.testing.assert_array_equal(np.concatenate([rows[block] for block in row_blocks(shape)]), rows)


@pytest.mark.parametrize(
    ('name', 'accuracy'), [('ipi', 1e-5), ('ipialm', 1e-6), ('ript', 1e-6), ('nram', 1e-6)]
)
def test_detectors_do_not_depend_on_the_decomposition(small_krylov, name, accuracy):
    image = scene(60, 66).astype(np.float64)
    scores = get_detector(name, patch=12, step=4)(image)
    expected = plain_low_rank.PLAIN[name](image, 12, 4)
    assert expected.max() > 0
    np.testing.assert_allclose(scores, expected, rtol=0, atol=accuracy * expected.max())
