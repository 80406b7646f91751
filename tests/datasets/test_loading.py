from itertools import product

import numpy as np
import pytest
from PIL import Image

from madnet.datasets.transforms import LoadSIRSTImage, LoadSIRSTMask
from madnet.errors import UserError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (12, 17), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (12, 17, 3), dtype=np.uint8)
LUMA = np.array(Image.fromarray(COLOUR).convert('L'))  # Pillow's own ITU-R 601 luma


def load(path, **kwargs):
    return LoadSIRSTImage(**kwargs)({'img_path': str(path)})


def palette_image(indices, colours):
    image = Image.fromarray(indices.astype(np.uint8), 'P')
    image.putpalette([v for colour in colours for v in colour])
    return image


MODES = ['L', 'RGB', 'P', 'P grey', '1', 'RGBA', 'LA']


@pytest.mark.parametrize(
    ('extension', 'mode'),
    [*product(('png', 'tif'), MODES), *product(('bmp',), MODES[:-2])],  # BMP has neither RGBA nor LA
)
def test_eight_bit_modes(tmp_path, extension, mode):
    alpha = Image.fromarray(RNG.integers(0, 256, GREY.shape, dtype=np.uint8))
    grey_levels = RNG.permutation(256)[:, None].repeat(3, axis=1).tolist()
    image, grey, rgb = {
        'L': lambda: (Image.fromarray(GREY), GREY, GREY[..., None].repeat(3, 2)),
        'RGB': lambda: (Image.fromarray(COLOUR), LUMA, COLOUR),
        'RGBA': lambda: (Image.merge('RGBA', [*Image.fromarray(COLOUR).split(), alpha]), LUMA, COLOUR),
        'P': lambda: _palette(RNG.integers(0, 256, (256, 3))),
        'P grey': lambda: _palette(np.array(grey_levels)),
        '1': lambda: (
            Image.fromarray(GREY > 99),
            (GREY > 99) * 255,
            ((GREY > 99) * 255)[..., None].repeat(3, 2),
        ),
        'LA': lambda: (
            Image.merge('LA', [Image.fromarray(GREY), alpha]),
            GREY,
            GREY[..., None].repeat(3, 2),
        ),
    }[mode]()
    path = tmp_path / f'x.{extension}'
    image.save(path)
    one, three = load(path, channels=1), load(path, channels=3)
    assert one['img'].shape == (12, 17, 1)
    assert one['img'].dtype == three['img'].dtype == np.uint8
    assert one['img_shape'] == one['ori_shape'] == (12, 17)
    assert np.abs(one['img'][..., 0].astype(int) - grey).max() <= 1  # two ways to round
    np.testing.assert_array_equal(three['img'][..., ::-1], rgb)


def _palette(colours):
    rgb = colours[GREY].astype(np.uint8)
    return palette_image(GREY, colours.tolist()), np.array(Image.fromarray(rgb).convert('L')), rgb


@pytest.mark.parametrize('extension', ['png', 'tif'])
def test_sixteen_bit_keeps_its_depth(tmp_path, extension):
    deep = np.arange(12 * 17, dtype=np.uint16).reshape(12, 17) * 320
    Image.fromarray(deep).save(tmp_path / f'x.{extension}')
    img = load(tmp_path / f'x.{extension}', channels=1)['img']
    assert img.dtype == np.float32
    np.testing.assert_allclose(img[..., 0], deep / 65535 * 255, rtol=1e-6)
    assert len(np.unique(img)) == deep.size
    img = load(tmp_path / f'x.{extension}', channels=3, bit_depth=14)['img']
    assert img.shape == (12, 17, 3)
    np.testing.assert_allclose(img[..., 0], np.minimum(deep / 16383 * 255, 255), rtol=1e-6)


def test_an_image_made_by_the_dataset_is_only_brought_to_its_channels():
    assert LoadSIRSTImage(channels=3)({'img': GREY[..., None]})['img'].shape == (12, 17, 3)
    assert LoadSIRSTImage(channels=1)({'img': GREY[..., None]})['img'].shape == (12, 17, 1)
    results = LoadSIRSTImage(channels=1)({'img': GREY[..., None]})
    results['img'] += 1
    assert not np.array_equal(results['img'][..., 0], GREY)


@pytest.mark.parametrize('kwargs', [{'channels': 2}, {'bit_depth': 8}, {'bit_depth': 17}])
def test_wrong_arguments(kwargs):
    with pytest.raises(UserError, match='expected'):
        LoadSIRSTImage(**kwargs)


def test_floats_need_a_range_unless_they_are_on_the_scale(tmp_path):
    path = tmp_path / 'x.tif'
    Image.fromarray(GREY.astype(np.float32)).save(path)
    np.testing.assert_array_equal(load(path, channels=1)['img'][..., 0], GREY)
    kelvin = 270 + GREY.astype(np.float32) / 8
    Image.fromarray(kelvin).save(path)
    with pytest.raises(UserError, match=r'270 to 301.*--value-range 270 301'):
        load(path)
    img = load(path, channels=1, value_range=(270, 301.875))['img'][..., 0]
    np.testing.assert_allclose(img, GREY, atol=1e-3)
    low, high = np.percentile(kelvin, (0.1, 99.99))
    img = load(path, channels=1, value_range='auto')['img'][..., 0]
    np.testing.assert_allclose(img, np.clip((kelvin - low) / (high - low) * 255, 0, 255), atol=1e-3)


def load_mask(path, shape=(12, 17), **kwargs):
    return LoadSIRSTMask(**kwargs)({'seg_map_path': str(path), 'img_path': 'x', 'ori_shape': shape})


def test_mask_rule_is_above_127(tmp_path):
    Image.fromarray(GREY).save(tmp_path / 'm.png')
    results = load_mask(tmp_path / 'm.png')
    np.testing.assert_array_equal(results['gt_mask'], GREY)
    np.testing.assert_array_equal(results['gt_seg_map'], (GREY >= 128).astype(np.uint8))
    assert results['gt_seg_map'].dtype == results['gt_mask'].dtype == np.uint8
    assert results['seg_fields'] == ['gt_seg_map', 'gt_mask']
    np.testing.assert_array_equal(load_mask(tmp_path / 'm.png', threshold=0)['gt_seg_map'], GREY > 0)


@pytest.mark.parametrize('mode', ['1', 'RGB', 'RGBA', 'P', 'P dark red', '16 bit'])
def test_masks_of_every_mode(tmp_path, mode):
    truth = GREY > 200
    white = truth.astype(np.uint8) * 255
    image = {
        '1': Image.fromarray(truth),
        'RGB': Image.fromarray(np.stack([white] * 3, axis=2)),
        'RGBA': Image.fromarray(np.stack([white, white, white, np.full_like(white, 255)], axis=2)),
        'P': palette_image(truth, [(0, 0, 0), (255, 255, 255)]),
        'P dark red': palette_image(truth, [(0, 0, 0), (128, 0, 0)]),  # the VOC palette's first class
        '16 bit': Image.fromarray(white.astype(np.uint16) * 257),
    }[mode]
    image.save(tmp_path / 'm.png')
    results = load_mask(tmp_path / 'm.png')
    assert results['gt_mask'].shape == (12, 17)
    np.testing.assert_array_equal(results['gt_seg_map'], truth)


def test_mask_of_the_same_aspect_is_resized_by_nearest_neighbour(tmp_path):
    large = GREY.repeat(2, axis=0).repeat(2, axis=1)
    Image.fromarray(large).save(tmp_path / 'm.png')
    np.testing.assert_array_equal(load_mask(tmp_path / 'm.png')['gt_mask'], GREY)


def test_mask_of_another_aspect_is_refused(tmp_path):
    Image.fromarray(GREY).save(tmp_path / 'm.png')
    with pytest.raises(UserError, match='17 × 12 pixels for an image of 18 × 12'):
        load_mask(tmp_path / 'm.png', shape=(12, 18))


def test_without_a_mask_path_nothing_is_done():
    assert LoadSIRSTMask()({'img': GREY, 'ori_shape': (12, 17)}).keys() == {'img', 'ori_shape'}
