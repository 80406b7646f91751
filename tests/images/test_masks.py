"""Which pixels of a mask file are target: one rule for each kind of file."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from madnet.errors import UserError
from madnet.images import MaskRule, fit_mask, image_size, read_mask
from madnet.images.frames import read_header
from madnet.images.score_maps import LABELS

TRUTH = np.zeros((9, 14), bool)
TRUTH[3:5, 6:9] = True
WHITE = TRUTH.astype(np.uint8) * 255


def palette(indices, *colours):
    image = Image.fromarray(indices.astype(np.uint8), 'P')
    image.putpalette([v for colour in colours for v in colour])
    return image


def red():
    return Image.fromarray(np.stack([WHITE, 0 * WHITE, 0 * WHITE], 2))


VOC = [(0, 0, 0), (128, 0, 0), (0, 128, 0)]
KINDS = {
    'grey.png': lambda p: Image.fromarray(WHITE).save(p),
    'bits.png': lambda p: Image.fromarray(TRUTH).save(p),
    'bits.tif': lambda p: Image.fromarray(TRUTH).save(p),
    'red.png': lambda p: red().save(p),
    'rgba.png': lambda p: Image.fromarray(np.stack([WHITE, WHITE, WHITE, WHITE | 255], 2)).save(p),
    'voc.png': lambda p: palette(TRUTH, *VOC).save(p),
    'voc2.png': lambda p: palette(TRUTH * 2, *VOC).save(p),
    'black last.png': lambda p: palette(2 - TRUTH, (9, 9, 9), (255, 0, 0), (0, 0, 0)).save(p),
    'quantised.png': lambda p: red().quantize(256).save(p),
    'red.gif': lambda p: red().save(p),
    'without black.png': lambda p: palette(TRUTH, (0, 0, 128), (255, 0, 0)).save(p),
    'grey palette.png': lambda p: palette(~TRUTH, (255, 255, 255), (0, 0, 0)).save(p),
    'deep.png': lambda p: Image.fromarray(WHITE.astype(np.uint16) * 257).save(p),
    'deep low.png': lambda p: Image.fromarray(WHITE.astype(np.uint16)).save(p),
    'bool.npy': lambda p: np.save(p, TRUTH),
    'float.npy': lambda p: np.save(p, TRUTH.astype(np.float32)),
    'whole.npy': lambda p: np.save(p, WHITE.astype(np.int64)),
    'x.bmp': lambda p: Image.fromarray(WHITE).save(p),
    'x.gif': lambda p: Image.fromarray(WHITE).save(p),
}


@pytest.mark.parametrize('kind', KINDS)
def test_every_kind_of_file(tmp_path, kind):
    KINDS[kind](tmp_path / kind)
    mask = read_mask(tmp_path / kind)
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask > 127, TRUTH)
    assert set(np.unique(mask)) == {0, 255}
    np.testing.assert_array_equal(read_mask(tmp_path / kind, LABELS) > 127, TRUTH)


def test_grey_values_are_kept(tmp_path):
    grey = np.arange(126, dtype=np.uint8).reshape(9, 14) * 2
    Image.fromarray(grey).save(tmp_path / 'm.png')
    np.testing.assert_array_equal(read_mask(tmp_path / 'm.png'), grey)
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / 'm.png')
    np.testing.assert_array_equal(read_mask(tmp_path / 'm.png'), grey)


@pytest.mark.parametrize('size', [(4, 7), (3, 5)])
def test_a_thumbnail_before_a_mask_is_passed_over(tmp_path, size):
    path = tmp_path / 'm.tif'
    with tifffile.TiffWriter(path) as file:
        file.write(np.zeros((*size, 3), np.uint8), photometric='rgb', subfiletype=1)
        file.write(WHITE, photometric='minisblack')
    np.testing.assert_array_equal(read_mask(path), WHITE)
    assert image_size(path) == WHITE.shape[::-1]
    assert read_header(path).mode == 'L'


@pytest.mark.parametrize('kind', ['voc.png', 'bits.png', 'bool.npy', 'bits.tif'])
def test_mask_values_of_palettes_and_bits_are_indices(tmp_path, kind):
    KINDS[kind](tmp_path / kind)
    np.testing.assert_array_equal(read_mask(tmp_path / kind, MaskRule((0, 1))), WHITE)
    np.testing.assert_array_equal(read_mask(tmp_path / kind, MaskRule((1, 0))), 255 - WHITE)


def test_zero_and_one_must_be_told(tmp_path):
    path = tmp_path / 'm.png'
    Image.fromarray(TRUTH.astype(np.uint8)).save(path)
    with pytest.raises(UserError, match=r'0 and 1.*mask_values=\[0,1\]'):
        read_mask(path)
    assert read_mask(path, strict=False).max() == 1
    np.testing.assert_array_equal(read_mask(path, MaskRule((0, 1))), WHITE)
    np.testing.assert_array_equal(read_mask(path, MaskRule(threshold=0)), WHITE)
    with pytest.raises(UserError, match='values 0, 1; expected those of mask_values, 0, 2'):
        read_mask(path, MaskRule((0, 2)))


@pytest.mark.parametrize('kind', ['LA.png', 'RGBA.png', 'RGBA.tif', 'RGBA.webp', 'P.png', 'P.gif'])
@pytest.mark.parametrize('grey', [0, 255])
def test_targets_in_the_alpha_channel_are_no_empty_mask(tmp_path, kind, grey):
    path = tmp_path / kind
    if kind[0] == 'P':  # two indices of one colour, the first of them transparent
        palette(TRUTH, (grey,) * 3, (grey,) * 3).save(path, transparency=0)
    else:
        image = Image.new(path.stem, TRUTH.shape[::-1], (grey,) * (len(path.stem) - 1) + (255,))
        image.save(path, lossless=True)
        assert read_mask(path).max() == grey
        image.putalpha(Image.fromarray(WHITE))
        image.save(path, lossless=True, exact=True)
    with pytest.raises(UserError, match='the targets in the alpha channel; expected grey values: save'):
        read_mask(path)


@pytest.mark.parametrize('values', [(1,), (0, 0), 'ab', 5])
def test_wrong_mask_values(values):
    with pytest.raises(UserError, match='mask_values'):
        MaskRule(values)


def test_values_that_fit_no_rule(tmp_path):
    for values in (-1.0, np.nan, 70000.0):
        np.save(tmp_path / 'm.npy', np.full((3, 3), values))
        with pytest.raises(UserError, match='expected grey values'):
            read_mask(tmp_path / 'm.npy')
    void = palette(TRUTH * 255, *[(0, 0, 0)] * 255, (224, 224, 192))
    void.save(tmp_path / 'm.png')
    with pytest.raises(UserError, match='VOC mask whose borders'):
        read_mask(tmp_path / 'm.png')


@pytest.mark.parametrize(
    ('mask', 'fits'), [((9, 14), True), ((18, 28), True), ((10, 15), False), ((9, 15), False)]
)
def test_another_size(mask, fits, tmp_path):
    if fits:
        assert fit_mask(np.zeros(mask, np.uint8), (9, 14), 'm.png').shape == (9, 14)
    else:
        with pytest.raises(UserError, match=r'm\.png: a mask of'):
            fit_mask(np.zeros(mask, np.uint8), (9, 14), 'm.png')
