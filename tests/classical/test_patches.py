"""Cutting and joining of patches."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_low_rank import cut, join

from madnet.classical.patches import PatchGrid


@settings(max_examples=40, deadline=None)
@given(height=st.integers(5, 23), width=st.integers(5, 23), patch=st.integers(1, 5), step=st.integers(1, 7))
def test_cut_and_joined_it_is_the_image(height, width, patch, step):
    image = np.random.default_rng(height * width).random((height, width))
    grid = PatchGrid((height, width), patch, step)
    patches = grid.cut(image)
    expected, corners = cut(image, patch, step)
    np.testing.assert_array_equal(patches, expected)
    covered = np.zeros(image.shape, bool)
    for y, x in corners:
        covered[y : y + patch, x : x + patch] = True
    for how in ('mean', 'median', 'last'):
        np.testing.assert_allclose(grid.join(patches, how), np.where(covered, image, 0), rtol=1e-12)


@settings(max_examples=15, deadline=None)
@given(height=st.integers(6, 15), width=st.integers(6, 15), patch=st.integers(2, 6), step=st.integers(1, 6))
def test_joining_takes_mean_median_or_last_of_what_covers_a_pixel(height, width, patch, step):
    step = min(step, patch)
    rng = np.random.default_rng(patch * step)
    grid = PatchGrid((height, width), patch, step)
    patches = rng.normal(size=(len(grid), patch, patch))
    corners = cut(np.zeros((height, width)), patch, step)[1]
    for how in ('mean', 'median', 'last'):
        expected = join(patches, corners, (height, width), how)
        np.testing.assert_allclose(grid.join(patches, how), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(('length', 'starts'), [(30, [0, 10, 20]), (31, [0, 10, 20, 21]), (10, [0])])
def test_the_last_patch_is_flush_with_the_border(length, starts):
    grid = PatchGrid((length, 10), 10, 10)
    assert grid.starts[0].tolist() == starts
    open_end = PatchGrid((length, 10), 10, 10, flush=False)
    assert open_end.starts[0].tolist() == [s for s in starts if s % 10 == 0]


def test_without_a_flush_patch_the_rest_is_0():
    grid = PatchGrid((12, 10), 5, 5, flush=False)
    for how in ('mean', 'median', 'last'):
        joined = grid.join(grid.cut(np.ones((12, 10))), how)
        assert joined[:10].all()
        assert not joined[10:].any()
