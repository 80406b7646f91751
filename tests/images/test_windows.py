"""Windows of a file are the same pixels as in the whole file, and so are values measured over its parts."""

import struct

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image
from test_frames import write

from madnet.errors import UserError
from madnet.images import (
    FrameLoader,
    FrameWindows,
    count_frames,
    image_size,
    read_image,
    read_mask,
    read_scores,
)
from madnet.images import windows as windows_module
from madnet.images.values import AUTO, measure_range

RNG = np.random.default_rng(3)
HEIGHT, WIDTH = 137, 211


def pixels_of(dtype, channels=1):
    shape = (HEIGHT, WIDTH) if channels == 1 else (HEIGHT, WIDTH, channels)
    scale = 200 if np.dtype(dtype).itemsize == 1 else 30000
    smooth = cv2.GaussianBlur(RNG.random(shape), (0, 0), 2) if channels == 1 else RNG.random(shape)
    return (smooth * scale).astype(dtype)


def check(path, frame=None):
    whole = read_image(path, frame)
    found = FrameWindows(path, frame)
    assert (found.height, found.width) == whole.shape[:2]
    spans = [(0, HEIGHT, 0, WIDTH), (0, 1, 0, 1), (HEIGHT - 1, HEIGHT, WIDTH - 1, WIDTH), (40, 90, 30, 170)]
    for _ in range(20):
        top, bottom = sorted(RNG.choice(HEIGHT + 1, 2, replace=False))
        left, right = sorted(RNG.choice(WIDTH + 1, 2, replace=False))
        spans.append((int(top), int(bottom), int(left), int(right)))
    for top, bottom, left, right in spans:
        window = found.read(slice(top, bottom), slice(left, right))
        assert window.dtype == whole.dtype
        np.testing.assert_array_equal(window, whole[top:bottom, left:right])
    return found


STRIPS = [{}, {'rowsperstrip': 1}, {'rowsperstrip': 16}, {'rowsperstrip': 50}, {'tile': (32, 48)}]


@pytest.mark.parametrize('layout', STRIPS, ids=str)
@pytest.mark.parametrize('compression', [None, 'zlib'])
@pytest.mark.parametrize('dtype', ['uint8', 'uint16', 'int16', 'float32', 'float64'])
def test_tiff(tmp_path, layout, compression, dtype):
    path = tmp_path / 'x.tif'
    order = '>' if layout.get('rowsperstrip') == 16 else '<'
    # a BigTIFF now and then; a predictor wherever there is one for the type
    predictor = compression is not None and 'tile' in layout and 'float' not in dtype
    tifffile.imwrite(
        *(path, pixels_of(dtype)),
        **layout,
        compression=compression,
        predictor=predictor,
        byteorder=order,
        bigtiff=dtype == 'uint16',
    )
    assert check(path)._page is not None


@pytest.mark.parametrize('compression', ['tiff_lzw', 'packbits', 'tiff_adobe_deflate'])
def test_tiff_of_pillow(tmp_path, compression):
    path = tmp_path / 'x.tif'
    Image.fromarray(pixels_of('uint8')).save(path, compression=compression)
    assert check(path)._page is not None


@pytest.mark.parametrize('compression', [1, 5, 32946])
@pytest.mark.parametrize('dtype', ['uint8', 'uint16'])
def test_colours(tmp_path, compression, dtype):
    path = tmp_path / 'x.tif'
    cv2.imwrite(str(path), pixels_of(dtype, 3), [cv2.IMWRITE_TIFF_COMPRESSION, compression])
    assert check(path)._page is not None


@pytest.mark.parametrize('photometric', ['minisblack', 'miniswhite'])
def test_white_may_be_zero(tmp_path, photometric):
    path = tmp_path / 'x.tif'
    for dtype in ('uint8', 'uint16'):
        pixels = pixels_of(dtype)
        tifffile.imwrite(path, pixels, tile=(32, 32), photometric=photometric)
        check(path)
        expected = np.invert(pixels) if photometric == 'miniswhite' else pixels
        np.testing.assert_array_equal(read_image(path), expected)


@pytest.mark.parametrize('bits', [10, 12, 14])
@pytest.mark.parametrize('photometric', ['minisblack', 'miniswhite', 'rgb'])
def test_packed_samples_keep_their_scale(packed_tiff, tmp_path, bits, photometric):
    shape = (HEIGHT, WIDTH + 5, *(3,) * (photometric == 'rgb'))
    pages = RNG.integers(0, 2**bits, (2, *shape), dtype=np.uint16)
    path = packed_tiff(tmp_path / 'x.tif', pages, bits, photometric)
    for number, page in enumerate(pages):
        check(path, number)
        expected = {'minisblack': page, 'miniswhite': 2**bits - 1 - page, 'rgb': page[..., ::-1]}
        np.testing.assert_array_equal(read_image(path, number), expected[photometric])


def test_packed_samples_fill_the_scale_of_every_reader(packed_tiff, tmp_path):
    pixels = np.zeros((HEIGHT, WIDTH + 5), np.uint16)
    pixels[3, 4:8], pixels[5] = 2**14 - 1, 2**13
    path = packed_tiff(tmp_path / 'x.tif', pixels[None], 14)
    whole, rest = (slice(0, side) for side in pixels.shape)
    for value_range, depth in ((None, 16), (None, 14), ((0, 2**14 - 1), 16)):
        loader = FrameLoader(1, value_range, depth)
        found = loader(path)
        np.testing.assert_allclose(found[..., 0], pixels * (255 / 16383), atol=1e-3)
        np.testing.assert_array_equal(loader.windows(path).read(whole, rest), found)
    np.testing.assert_array_equal(read_mask(path), np.round(pixels * (255 / 16383)))
    np.testing.assert_allclose(read_scores(path), pixels / 16383, atol=1e-6)


def test_jpeg_in_a_tiff(tmp_path):
    path = tmp_path / 'x.tif'
    Image.fromarray(pixels_of('uint8')).save(path, compression='jpeg')
    check(path)


def test_what_has_no_parts_is_read_whole(tmp_path):
    for path, pixels in ((tmp_path / 'x.png', pixels_of('uint16')), (tmp_path / 'x.bmp', pixels_of('uint8'))):
        assert check(write(path, pixels))._whole is not None
    path = tmp_path / 'alpha.tif'
    tifffile.imwrite(path, pixels_of('uint8', 4), photometric='rgb', extrasamples=['unassalpha'])
    assert check(path)._whole is not None


@pytest.mark.parametrize('kind', ['.npy', '.raw'])
@pytest.mark.parametrize('dtype', ['uint8', '>u2', 'float32'])
def test_arrays(tmp_path, kind, dtype):
    path = write(tmp_path / f'x{kind}', pixels_of(dtype))
    found = check(path)
    assert found._whole is None
    if kind == '.npy':
        np.save(path, np.asfortranarray(pixels_of(dtype)))
        check(path)
        np.save(path, np.stack([pixels_of(dtype), pixels_of(dtype)]))
        check(path, 1)


def test_levels_of_a_pyramid_are_no_frames(tmp_path):
    path = tmp_path / 'x.tif'
    full = pixels_of('uint16')
    with tifffile.TiffWriter(path) as file:
        file.write(full, tile=(64, 64))
        file.write(full[::2, ::2], tile=(64, 64), subfiletype=1)
        file.write(full[::4, ::4], tile=(64, 64), subfiletype=1)
        file.write(full + 1, tile=(64, 64))
    assert count_frames(path) == 2
    assert image_size(path) == (WIDTH, HEIGHT)
    np.testing.assert_array_equal(read_image(path, 0), full)
    np.testing.assert_array_equal(read_image(path, 1), full + 1)
    check(path, 0)
    check(path, 1)
    with tifffile.TiffWriter(path) as file:  # the levels in a tree of their own
        file.write(full, tile=(64, 64), subifds=1)
        file.write(full[::2, ::2], tile=(64, 64), subfiletype=1)
    assert count_frames(path) == 1
    check(path)


def test_damaged_parts(tmp_path):
    path = tmp_path / 'x.tif'
    tifffile.imwrite(path, pixels_of('uint16'), tile=(32, 32), compression='zlib')
    with tifffile.TiffFile(path) as file:
        offset = file.pages[0].dataoffsets[0]
    data = bytearray(path.read_bytes())
    data[offset : offset + 40] = b'\xff' * 40
    path.write_bytes(data)
    found = FrameWindows(path)
    found.read(slice(64, 96), slice(64, 96))  # what is whole can be read
    with pytest.raises(UserError, match='the tile at row 0, column 0 cannot be decoded'):
        found.read(slice(0, 5), slice(0, 5))
    data = bytearray(write(tmp_path / 'y.tif', pixels_of('uint8')).read_bytes())
    data[4:8] = struct.pack('<I', len(data) + 100)
    (tmp_path / 'y.tif').write_bytes(data)
    with pytest.raises(UserError, match=r'y\.tif'):
        FrameWindows(tmp_path / 'y.tif')


@pytest.mark.parametrize(('dtype', 'value_range'), [('uint16', 'auto'), ('uint16', (500, 9000))])
@pytest.mark.parametrize('channels', [1, 3])
def test_windows_are_loaded_as_the_whole(tmp_path, monkeypatch, dtype, value_range, channels):
    monkeypatch.setattr(windows_module, '_BAND', 2000)
    path = tmp_path / 'x.tif'
    tifffile.imwrite(path, pixels_of(dtype), tile=(32, 32))
    loader = FrameLoader(channels, value_range)
    whole = loader(path)
    found = loader.windows(path)
    np.testing.assert_array_equal(found.read(slice(20, 99), slice(7, 200)), whole[20:99, 7:200])
    assert measure_range([FrameWindows(path)]) == pytest.approx(tuple(np.percentile(read_image(path), AUTO)))


def test_what_holds_for_the_whole_frame_is_asked_of_it(tmp_path):
    pixels = pixels_of('float32') * np.float32(250 / 30000)
    pixels[:70] *= np.float32(0.001)  # a window that looks as if it were on the scale 0–1
    np.save(tmp_path / 'x.npy', pixels)
    loader = FrameLoader(1)
    found = loader.windows(tmp_path / 'x.npy').read(slice(0, 50), slice(0, 50))
    np.testing.assert_array_equal(found, loader(tmp_path / 'x.npy')[:50, :50])
    pixels[100, 100] = np.nan
    np.save(tmp_path / 'x.npy', pixels)
    with pytest.raises(UserError, match='NaN or infinite'):
        loader.windows(tmp_path / 'x.npy')
    np.save(tmp_path / 'x.npy', pixels_of('float32'))
    with pytest.raises(UserError, match='expected the 0–255 scale'):
        loader.windows(tmp_path / 'x.npy')
