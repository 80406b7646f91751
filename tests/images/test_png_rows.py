"""What is written row by row is read as a whole."""

import numpy as np
import pytest

from madnet.images import read_image
from madnet.images.png_rows import PngRows


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_the_same_pixels(tmp_path, dtype):
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (50, 33), dtype)
    with (tmp_path / 'x.png').open('wb') as file:
        png = PngRows(file, 50, 33, dtype)
        for part in np.split(pixels, [1, 20, 21]):
            png.add(part)
        png.finish()
    found = read_image(tmp_path / 'x.png')
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, pixels)
