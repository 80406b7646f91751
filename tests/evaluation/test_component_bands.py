"""Components found band by band are those of the whole map."""

import cv2
import numpy as np
import pytest

from madnet.errors import UserError
from madnet.evaluation import component_bands
from madnet.evaluation.component_bands import ComponentBands
from madnet.evaluation.components import find_components

RNG = np.random.default_rng(5)


def scores_of(kind, height=90, width=70):
    if kind == 'noise':
        return RNG.random((height, width), np.float32)
    if kind == 'spiral':  # arms that meet only at the very bottom, or never
        y, x = np.mgrid[:height, :width] - 35.0
        return ((np.hypot(x, y) - 3 * np.arctan2(y, x)) % 19 < 4).astype(np.float32)
    field = cv2.GaussianBlur(RNG.normal(size=(height, width)), (0, 0), 2 if kind == 'blobs' else 6)
    return (field / abs(field).max() / 2 + 0.5).astype(np.float32)


@pytest.mark.parametrize('kind', ['noise', 'blobs', 'large', 'spiral'])
@pytest.mark.parametrize('heights', [(1,), (7,), (30, 1, 40, 19), (90,)])
def test_the_same_as_of_the_whole(kind, heights):
    for threshold in (0.55, 0.7, 0.95):
        scores = scores_of(kind)
        whole = find_components(scores > threshold)
        stream = ComponentBands(threshold)
        found, row, k = [], 0, 0
        while row < len(scores):
            height = heights[k % len(heights)]
            closed = stream.add(scores[row : row + height])
            row, k = min(row + height, len(scores)), k + 1
            assert all(piece.ys[-1] < row - 1 for piece in closed)
            assert stream.open_from <= row
            found += closed
        found = sorted(found + stream.finish(), key=lambda piece: piece.first)
        assert len(found) == len(whole)
        for number, piece in enumerate(found, 1):
            ys, xs = np.nonzero(whole.labels == number)
            np.testing.assert_array_equal((piece.ys, piece.xs), (ys, xs))
            np.testing.assert_array_equal(piece.scores, scores[ys, xs])
            assert piece.box == tuple(whole.boxes[number - 1])


def test_rows_above_open_from_do_not_change():
    stream = ComponentBands(0.5)
    map_ = np.zeros((30, 10), np.float32)
    map_[4:16, 3] = map_[9, 6:8] = 1
    stream.add(map_[:10])
    assert stream.open_from == 4  # the long one goes on, and may join what began below
    assert [piece.first for piece in stream.add(map_[10:20])] == [(4, 3), (9, 6)]
    assert stream.open_from == 20


@pytest.mark.parametrize('limit', ['MAX_PIXELS', 'MAX_COMPONENTS'])
def test_a_map_that_is_foreground_all_over(monkeypatch, limit):
    monkeypatch.setattr(component_bands, limit, 50)
    stream, row = ComponentBands(0.5), np.ones((1, 20), np.float32)

    def fill():
        for _ in range(100):
            stream.add(row)

    with pytest.raises(UserError, match='raise the threshold'):
        fill()
