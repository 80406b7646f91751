import numpy as np

from madnet.datasets.transforms import ScaleToMaximum


def test_the_brightest_pixel_is_white():
    img = np.array([[[10], [40]], [[80], [0]]], np.uint8)
    found = ScaleToMaximum()({'img': img})['img']
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[..., 0], [[31.875, 127.5], [255, 0]])


def test_an_image_of_zeros_stays_one():
    found = ScaleToMaximum()({'img': np.zeros((2, 2, 3), np.float32)})['img']
    np.testing.assert_array_equal(found, np.zeros((2, 2, 3)))
