"""Files of every kind to the same pixels; what is damaged, or claims to be huge, is one line."""

import io
import json
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image, PngImagePlugin

from madnet.errors import UserError
from madnet.images import count_frames, encode_png, encode_webp, image_size, notices, read_image
from madnet.images.videos import open_video
from madnet.inference.clip_source import open_clip

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 200, (12, 17), dtype=np.uint8)


def write(path, pixels):
    kind = path.suffix
    if kind == '.npy':
        np.save(path, pixels)
    elif kind == '.npz':
        np.savez(path, pixels)
    elif kind == '.raw':
        pixels.tofile(path)
        h, w = pixels.shape
        path.with_name('raw.json').write_text(
            json.dumps({'height': h, 'width': w, 'dtype': pixels.dtype.str})
        )
    elif kind == '.gif':
        Image.fromarray(pixels).save(path)
    elif kind == '.webp':
        cv2.imwrite(str(path), pixels, [cv2.IMWRITE_WEBP_QUALITY, 101])
    else:
        cv2.imwrite(str(path), pixels)
    return path


@pytest.mark.parametrize('kind', ['.png', '.bmp', '.tif', '.gif', '.npy', '.npz', '.raw', '.webp'])
def test_eight_bit(tmp_path, kind):
    path = write(tmp_path / f'x{kind}', GREY)
    found = read_image(path)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found if found.ndim == 2 else found[..., 1], GREY)
    assert (count_frames(path), image_size(path)) == (1, (17, 12))


@pytest.mark.parametrize('kind', ['.npy', '.npz', '.raw', '.tif'])
@pytest.mark.parametrize('dtype', ['uint16', 'int16', 'int32', 'float32', 'float64', '>u2'])
def test_deep_numbers_keep_type_and_value(tmp_path, kind, dtype):
    pixels = (GREY * 3.0 - 100).clip(0 if 'u' in dtype else -np.inf).astype(dtype)
    if kind == '.tif' and dtype == '>u2':
        pixels = pixels.astype('uint16')
    found = read_image(write(tmp_path / f'x{kind}', pixels))
    assert found.dtype == np.dtype(dtype).newbyteorder('=')
    np.testing.assert_array_equal(found, pixels)


FRAMES = [np.full((8, 10), v, np.uint8) for v in (10, 60, 110, 160)]


def several(tmp_path, kind):
    path = tmp_path / f'x{kind}'
    if kind == '.tif':
        cv2.imwritemulti(str(path), FRAMES)
    elif kind == '.gif':
        first, *others = map(Image.fromarray, FRAMES)
        first.save(path, save_all=True, append_images=others)
    elif kind == '.avi':
        film = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 5, (64, 48))
        for frame in FRAMES:
            film.write(np.full((48, 64, 3), frame[0, 0], np.uint8))
        film.release()
    else:
        write(path, np.stack(FRAMES)) if kind != '.raw' else write(path, np.concatenate(FRAMES))
        if kind == '.raw':
            (tmp_path / 'raw.json').write_text('{"height": 8, "width": 10, "dtype": "uint8"}')
    return path


@pytest.mark.parametrize('kind', ['.tif', '.gif', '.npy', '.npz', '.raw', '.avi'])
def test_frames_in_any_order(tmp_path, kind):
    path = several(tmp_path, kind)
    assert count_frames(path) == 4
    for k in (2, 0, 3, 1):
        assert abs(float(read_image(path, k).mean()) - FRAMES[k][0, 0]) < 3
    with pytest.raises(UserError, match='holds 4 frames where one image is expected'):
        read_image(path)
    with pytest.raises(UserError, match='no frame 4'):
        read_image(path, 4)


@pytest.mark.parametrize('kind', ['.gif', '.avi'])
def test_threads_do_not_share_what_decodes_one_frame_after_the_other(tmp_path, kind):
    path = several(tmp_path, kind)
    expected = [read_image(path, k) for k in range(4)]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda k: read_image(path, k), [k % 4 for k in range(200)]))
    assert all(np.array_equal(one, expected[k % 4]) for k, one in enumerate(found))


def sixteen_bit_video(path, frames):
    grey = (cv2.VIDEOWRITER_PROP_DEPTH, cv2.CV_16U, cv2.VIDEOWRITER_PROP_IS_COLOR, 0)
    size = frames[0].shape[::-1]
    film = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*'FFV1'), 5, size, grey)
    if not film.isOpened():
        pytest.skip('this OpenCV writes no FFV1')
    for frame in frames:
        film.write(frame)
    film.release()
    return path


def test_videos_of_sixteen_bits_of_grey_keep_them(tmp_path):
    frames = RNG.integers(8000, 9000, (3, 48, 64), dtype=np.uint16)
    path = sixteen_bit_video(tmp_path / 'x.mkv', frames)
    for k in (2, 0, 1):
        np.testing.assert_array_equal(read_image(path, k), frames[k])
    found = [frame.image for frame in open_clip(str(path)).frames()]
    np.testing.assert_array_equal(found, frames)


SCALE, LASTS = b'\x2a\xd7\xb1\x83\x0f\x42\x40', b'\x44\x89\x88'  # how long a tick and the whole are


@pytest.mark.parametrize(
    ('old', 'new'),
    [
        (SCALE, SCALE[:4] + (500_000).to_bytes(3, 'big')),  # frames follow twice as fast as the rate says
        (SCALE, SCALE[:4] + (3_000_000).to_bytes(3, 'big')),  # or slower
        (LASTS, b'\xec' + LASTS[1:]),  # an empty element, as of a recorder that was killed
        (b'\x18S\x80g\x01' + bytes(4), b'\x18S\x80g\x01' + b'\xff' * 7),
    ],
)
def test_a_video_has_the_frames_that_can_be_decoded(tmp_path, run, old, new):
    """Matroska holds no number of frames."""
    path = sixteen_bit_video(tmp_path / 'x.mkv', list(RNG.integers(0, 9000, (40, 24, 32), dtype=np.uint16)))
    data = path.read_bytes()
    assert data.count(old) == 1
    at = data.index(old)
    path.write_bytes(data[:at] + new + data[at + len(new) :])
    for more in ([], ['--clip']):
        how = (*more, '--format', 'csv', '--out', tmp_path / f'out{len(more)}')
        code, out, err = run('predict', 'tophat', path, '--value-range', '0', '9000', *how)
        assert (code, err) == (0, '')
        assert '40 images' in out or '40 frames' in out
    clip = open_clip(str(path))
    *_, last = clip.frames()
    record = json.loads((tmp_path / 'out1/x.json').read_text())
    assert record['fps'] == pytest.approx(39 / last.time, rel=0.03)
    assert clip.length in (None, 40)  # as the line says that tells of Ctrl-C
    path.write_bytes(path.read_bytes()[: len(data) // 2])
    if new.startswith(b'\x18S'):  # nor how long it is: nobody can know
        assert 10 < count_frames(path) < 30
        return
    assert_cut_off(path)


def assert_cut_off(path):
    """One frame that cannot be decoded tells it."""
    with pytest.raises(UserError, match=r'cut off, it ends after \d+ frames, at') as told:
        list(open_clip(str(path)).frames())
    decoded = count_frames(path) - 1
    assert f'after {decoded} frames' in str(told.value)
    assert decoded > 5
    read_image(path, decoded - 1)
    with pytest.raises(UserError, match=f'frame {decoded} cannot be decoded'):
        read_image(path, decoded)


def test_an_mp4_has_the_frames_that_its_edit_list_leaves(tmp_path, run, monkeypatch, caplog):
    path = tmp_path / 'x.mp4'
    film = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'mp4v'), 10, (64, 48))
    for _ in range(40):
        film.write(RNG.integers(0, 200, (48, 64, 3), dtype=np.uint8))
    film.release()
    data = path.read_bytes()
    ticks = int.from_bytes(data[(at := data.index(b'stts')) + 16 : at + 20], 'big')  # that a frame lasts
    begins = data.index(b'elst') + 16
    edited = data[:begins] + (11 * ticks).to_bytes(4, 'big') + data[begins + 4 :]
    path.write_bytes(edited)
    for more in ([], ['--clip']):
        how = (*more, '--format', 'csv', '--out', tmp_path / f'out{len(more)}')
        monkeypatch.setattr(notices, '_said', set())
        caplog.clear()
        code, out, err = run('predict', 'tophat', path, *how)
        assert (code, err) == (0, '')
        assert caplog.text.count('x.mp4: 29 of 40 frames are shown') == 1
        assert '29 images' in out or '29 frames' in out
    half, table = len(data) // 2, data.index(b'moov') - 4
    path.write_bytes(data[:half] + bytes(table - half) + data[table:])  # damaged, with all its bytes
    assert_cut_off(path)
    for whole in (data, edited):
        # what is written last, the table of frames, comes first, for what is cut off to be readable
        table, media = whole.index(b'moov') - 4, whole.index(b'ftyp') - 4 + int.from_bytes(whole[:4], 'big')
        chunks = table + whole[table:].index(b'stco') + 8
        moved = b''.join(
            (int.from_bytes(whole[k : k + 4], 'big') + len(whole) - table).to_bytes(4, 'big')
            for k in range(chunks + 4, chunks + 4 + 4 * int.from_bytes(whole[chunks : chunks + 4], 'big'), 4)
        )
        front = whole[:media] + whole[table : chunks + 4] + moved + whole[chunks + 4 + len(moved) :]
        front += whole[media:table]
        path.write_bytes(front)
        assert count_frames(path) == (40 if whole is data else 29)
        path.write_bytes(front[: len(front) * 4 // 5])
        assert_cut_off(path)


@pytest.mark.parametrize(
    ('name', 'cut'),
    [
        (b'Y3\x0b\n', True),  # yuv420p10le
        (b'\x10\x001Y', True),  # gray16be
        (b'Y1\0\x0c', True),  # gray12le
        (b'Y12 ', True),  # of a camera
        (b'0RGB', True),  # rgb48be
        (b'I420', False),
        (b'BGRA', False),
        (b'RGB\x10', False),  # rgb565
        (b'Y800', False),
    ],
)
def test_other_deep_videos_are_told_to_be_cut(tmp_path, monkeypatch, caplog, name, cut):
    class Capture:
        def __init__(self, where):
            self.changes = []

        def get(self, which):
            return float(int.from_bytes(name, 'little')) if which == cv2.CAP_PROP_CODEC_PIXEL_FORMAT else -1.0

        def set(self, *change):
            self.changes.append(change)

    monkeypatch.setattr(cv2, 'VideoCapture', Capture)
    monkeypatch.setattr(notices, '_said', set())
    assert not open_video('x.mp4').changes
    assert ('x.mp4: of more than 8 bits, of which OpenCV leaves 8' in caplog.text) == cut


@pytest.mark.parametrize('shape', [(7,), (0, 4), (2, 3, 4, 5, 7, 2)])
def test_arrays_that_are_no_image(tmp_path, shape):
    np.save(tmp_path / 'x.npy', np.zeros(shape, np.uint8))
    with pytest.raises(UserError):
        read_image(tmp_path / 'x.npy')


@pytest.mark.parametrize('kind', ['.png', '.tif', '.bmp', '.npy', '.npz', '.jpg', '.webp', '.gif'])
@pytest.mark.parametrize('share', [0, 0.02, 0.5])
def test_cut_files_are_one_line(tmp_path, kind, share):
    path = write(tmp_path / f'x{kind}', RNG.integers(0, 255, (64, 64), dtype=np.uint8))
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(UserError, match=str(path)):
        read_image(path)


@pytest.mark.parametrize('kind', ['.png', '.bmp', '.jpg', '.webp'])
@pytest.mark.parametrize('lost', [1, 13, 1000])
def test_an_image_without_its_end_is_called_that(tmp_path, capfd, kind, lost):
    path = write(tmp_path / f'x{kind}', RNG.integers(0, 255, (64, 64), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:-lost])
    with pytest.raises(UserError, match=rf'x{kind}: is cut off after {path.stat().st_size} bytes'):
        read_image(path)
    assert 'libpng' not in capfd.readouterr().err


def test_a_gif_whose_pixels_lack_their_end_is_called_cut_off(tmp_path):
    path = write(tmp_path / 'x.gif', RNG.integers(0, 255, (64, 64), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(UserError, match=r'x\.gif: is cut off after'):
        read_image(path)


def test_the_end_of_a_thumbnail_is_not_that_of_a_jpeg(tmp_path):
    thumbnail, exif = io.BytesIO(), Image.Exif()
    Image.fromarray(GREY).save(thumbnail, 'jpeg')
    exif[ExifTags.Base.ImageDescription] = thumbnail.getvalue()
    path = tmp_path / 'x.jpg'
    Image.fromarray(RNG.integers(0, 255, (64, 64), dtype=np.uint8)).save(path, exif=exif)
    assert thumbnail.getvalue() in path.read_bytes()
    assert read_image(path).shape == (64, 64)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(UserError, match=r'x\.jpg: is cut off after'):
        read_image(path)


def test_what_is_no_image_is_not_read_into_memory(tmp_path, monkeypatch):
    path = tmp_path / 'x.png'
    path.write_bytes(b'no image')
    monkeypatch.setattr(type(path), 'read_bytes', lambda path: pytest.fail('was read'))
    with pytest.raises(UserError, match=r'x\.png: not an image \(8 bytes\)'):
        image_size(path)


def test_what_is_no_numbers(tmp_path):
    np.save(tmp_path / 'x.npy', np.array([{'a': 1}], dtype=object))
    with pytest.raises(UserError, match='Python objects'):
        read_image(tmp_path / 'x.npy')
    np.savez(tmp_path / 'x.npz', a=GREY, b=GREY)
    with pytest.raises(UserError, match='2 arrays'):
        read_image(tmp_path / 'x.npz')
    (tmp_path / 'x.raw').write_bytes(b'123')
    with pytest.raises(UserError, match=r'need .*raw.json'):
        read_image(tmp_path / 'x.raw')
    for key, value, expected in (('dtype', 'U1', 'numbers'), ('offset', -1, 'a whole number from 0 on')):
        description = {'height': 1, 'width': 3, 'dtype': 'uint8', key: value}
        (tmp_path / 'raw.json').write_text(json.dumps(description))
        with pytest.raises(UserError, match=rf'raw\.json: {key}: found .*, expected .*{expected}'):
            read_image(tmp_path / 'x.raw')


@pytest.mark.parametrize('kind', ['.png', '.npy', '.npz', '.tif'])
def test_a_limit_on_pixels(tmp_path, kind, monkeypatch):
    path = write(tmp_path / f'x{kind}', np.zeros((100, 200), np.uint8))
    monkeypatch.setenv('MADNET_MAX_PIXELS', '19999')
    for reader in (read_image, image_size):
        with pytest.raises(UserError, match='200 × 100 pixels, more than the 19,999'):
            reader(path)
    monkeypatch.setenv('MADNET_MAX_PIXELS', '20000')
    assert read_image(path).shape == (100, 200)


@pytest.mark.parametrize('value', ['0', '-5', 'many', '²'])
def test_a_limit_that_is_no_number(tmp_path, value, monkeypatch):
    monkeypatch.setenv('MADNET_MAX_PIXELS', value)
    with pytest.raises(UserError, match=f"MADNET_MAX_PIXELS: found '{value}', expected a number of pixels"):
        read_image(write(tmp_path / 'x.png', GREY))


@pytest.mark.parametrize(('kind', 'channels'), [('gif', 1), ('tif', 4)])
def test_the_limit_is_ours_not_pillows(tmp_path, kind, channels, monkeypatch):
    Image.fromarray(np.zeros((100, 200, channels), np.uint8).squeeze()).save(tmp_path / f'x.{kind}')
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 100)
    assert read_image(tmp_path / f'x.{kind}').shape[:2] == (100, 200)


def test_a_header_that_claims_more_than_the_file_holds(tmp_path):
    path = tmp_path / 'x.npy'
    np.save(path, GREY)
    data = path.read_bytes().replace(b'(12, 17)', b'(9999, 9)')[:-1] + b'0'
    path.write_bytes(data)
    with pytest.raises(UserError, match=r'x\.npy'):
        read_image(path)


def test_webp_is_without_loss_where_small_and_else_reduced(tmp_path):
    chart = np.full((120, 160, 3), 255, np.uint8)
    chart[40:60, 20:140] = (178, 114, 0)
    noise = np.random.default_rng(0).integers(0, 255, (240, 320, 3)).astype(np.uint8)
    for name, pixels, most in (('chart', chart, 5000), ('noise', noise, 30_000)):
        (tmp_path / f'{name}.webp').write_bytes(encode_webp(pixels, most, flat=True))
    np.testing.assert_array_equal(read_image(tmp_path / 'chart.webp'), chart)
    assert (tmp_path / 'noise.webp').stat().st_size <= 30_000
    assert read_image(tmp_path / 'noise.webp').shape[0] < 240


def test_webp_of_more_than_the_format_holds():
    assert len(encode_webp(np.zeros((4, 20_000), np.uint8), 10_000)) > 0


def test_enlarged_pictures_are_the_same_in_less():
    picture = np.kron(RNG.integers(0, 255, (60, 70, 3), dtype=np.uint8), np.ones((4, 4, 1), np.uint8))
    files = [encode_png(picture, enlarged) for enlarged in (False, True)]
    for file in files:
        np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR), picture)
    assert len(files[1]) < 0.8 * len(files[0]) or not hasattr(cv2, 'IMWRITE_PNG_FILTER')


@pytest.mark.parametrize('channels', [2, 4])
def test_an_array_with_another_channel_is_refused(tmp_path, channels):
    np.save(tmp_path / 'x.npy', np.dstack([GREY] * channels))
    with pytest.raises(UserError, match=rf', {channels}\), expected \(H, W\) or \(H, W, 3\)'):
        read_image(tmp_path / 'x.npy')


def test_each_page_of_a_tiff_is_of_its_own_kind(tmp_path):
    path, deep = tmp_path / 'x.tif', RNG.integers(0, 65535, (30, 20), dtype=np.uint16)
    colours = RNG.integers(0, 255, (12, 17, 4), dtype=np.uint8)
    with tifffile.TiffWriter(path) as file:
        file.write(colours, photometric='rgb', extrasamples=['unassalpha'])
        file.write(deep, photometric='minisblack')
        file.write(colours, photometric='rgb', extrasamples=['unassalpha'])
    np.testing.assert_array_equal(read_image(path, 1), deep)
    for k in (0, 2):
        np.testing.assert_array_equal(read_image(path, k), colours[..., 2::-1])
    assert [image_size(path, k) for k in range(3)] == [(17, 12), (20, 30), (17, 12)]


def test_a_deep_tiff_whose_channels_lie_apart_is_refused(tmp_path):
    planes = RNG.integers(0, 65535, (3, 12, 17), dtype=np.uint16)
    tifffile.imwrite(tmp_path / 'x.tif', planes, photometric='rgb', planarconfig='separate')
    with pytest.raises(UserError, match='more than 8 bits whose channels lie apart'):
        read_image(tmp_path / 'x.tif')


def test_a_deep_tiff_with_alpha_is_refused_where_readers_would_cut_it(tmp_path):
    deep = RNG.integers(0, 65535, (12, 17, 4), dtype=np.uint16)
    cv2.imwrite(str(tmp_path / 'deep.tiff'), deep)
    with pytest.raises(UserError, match='more than 8 bits with an alpha channel'):
        read_image(tmp_path / 'deep.tiff')
    cv2.imwrite(str(tmp_path / 'deep.png'), deep)
    np.testing.assert_array_equal(read_image(tmp_path / 'deep.png'), deep[..., :3])


def test_an_animated_png_keeps_sixteen_bits(tmp_path):
    frames = [np.arange(80, dtype=np.uint16).reshape(8, 10) * 300 + 10_000 + k for k in range(2)]
    first, second = map(Image.fromarray, frames)
    first.save(tmp_path / 'x.png', save_all=True, append_images=[second])
    for k in (1, 0):
        read = read_image(tmp_path / 'x.png', k)
        assert read.dtype == np.uint16
        np.testing.assert_array_equal(read, frames[k])


def turned(path, orientation, **how):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(GREY).convert('RGB').save(path, exif=exif, **how)
    return path


@pytest.mark.parametrize('kind', ['.jpg', '.png', '.webp'])
def test_what_viewers_turn_is_refused(tmp_path, kind):
    for orientation in (3, 6):
        path = turned(tmp_path / f'a{kind}', orientation)
        for reader in (read_image, image_size):
            with pytest.raises(UserError, match=rf'a{kind}: viewers turn .* orientation, {orientation}'):
                reader(path)
    for orientation in (0, 1, 99):  # such as no viewer knows
        upright = turned(tmp_path / f'b{kind}', orientation)
        assert read_image(upright).shape[:2] == GREY.shape
        assert image_size(upright) == GREY.shape[::-1]


@pytest.mark.parametrize('kind', ['.jpg', '.png'])
def test_an_orientation_in_xmp_alone_turns_nothing(tmp_path, kind):
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
        '</rdf:RDF></x:xmpmeta>'
    )
    text = PngImagePlugin.PngInfo()
    text.add_itxt('XML:com.adobe.xmp', packet)
    Image.fromarray(GREY).save(
        tmp_path / f'a{kind}', **({'pnginfo': text} if kind == '.png' else {'xmp': packet.encode()})
    )
    assert Image.open(tmp_path / f'a{kind}').getexif()[ExifTags.Base.Orientation] == 6, 'Pillow takes it'
    assert read_image(tmp_path / f'a{kind}').shape[:2] == GREY.shape
    assert image_size(tmp_path / f'a{kind}') == GREY.shape[::-1]


def test_the_orientation_of_a_png_may_follow_its_pixels(tmp_path):
    path = turned(tmp_path / 'a.png', 6)
    data = path.read_bytes()
    at = data.index(b'eXIf') - 4
    chunk = data[at : at + 12 + int.from_bytes(data[at : at + 4])]
    path.write_bytes(data.replace(chunk, b'').replace(data[-12:], chunk + data[-12:]))
    with pytest.raises(UserError, match='viewers turn'):
        read_image(path)


def test_a_tiff_is_turned_as_it_is_read_and_damaged_exif_does_not_count(tmp_path):
    Image.fromarray(GREY).save(tmp_path / 'a.tif', tiffinfo={ExifTags.Base.Orientation: 6})
    np.testing.assert_array_equal(read_image(tmp_path / 'a.tif'), np.rot90(GREY, -1))
    assert image_size(tmp_path / 'a.tif') == GREY.shape
    Image.fromarray(GREY).save(tmp_path / 'b.png', exif=b'Exif\0\0nonsense')
    np.testing.assert_array_equal(read_image(tmp_path / 'b.png'), GREY)
