"""Image files to arrays: any depth, one frame or many; and arrays to PNG."""

import io
import json
import math
import os
import re
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from PIL import Image

from madnet.errors import UserError
from madnet.files import expect_file
from madnet.images.notices import say_once
from madnet.images.tiff import (
    MAGIC,
    Page,
    PageWindows,
    as_stored,
    has_alpha,
    has_parts,
    packed_bits,
    read_pages,
    why_not_read,
)

#: Endings of image files, in the order in which one is preferred to another of the same stem.
EXTENSIONS = (
    *('.png', '.bmp', '.tif', '.tiff', '.jpg', '.jpeg', '.webp', '.gif'),
    *('.npy', '.npz', '.raw'),
)
#: Endings of videos, whose frames can be predicted.
VIDEO_EXTENSIONS = ('.avi', '.mp4', '.mkv', '.mov')

#: Beside ``.raw`` files: what their bytes are, such as ``{"height": 480, "width": 640, "dtype": "uint16"}``.
RAW_DESCRIPTION = 'raw.json'

_ARRAYS = ('.npy', '.npz')


def pixel_limit() -> int:
    """How many pixels a frame may have: ``$MADNET_MAX_PIXELS``, by default 2²⁸.

    A file of a few kB can claim to be an image that no memory holds.

    Raises:
        UserError: The variable holds no positive number.
    """
    value = os.environ.get('MADNET_MAX_PIXELS') or str(2**28)
    if not value.isdigit() or int(value) < 1:
        raise UserError(f'$MADNET_MAX_PIXELS: found {value!r}, expected a number of pixels.')
    return int(value)


@dataclass(frozen=True)
class Header:
    """What a file says of itself before its pixels are read.

    Attributes:
        width, height: Of the first frame.
        frames: How many there are.
        mode: Pillow's mode of an image (``'P'`` for a palette, ``'1'`` for 1 bit, also of arrays); else
            ``''``.
    """

    width: int
    height: int
    frames: int = 1
    mode: str = ''


def read_image(path: str | os.PathLike, frame: int | None = None) -> np.ndarray:
    """Read a frame of an image file without loss.

    Args:
        path: PNG, BMP, TIFF, JPEG, WebP or GIF; ``.npy``, or ``.npz`` with one array, of shape (H, W),
            (H, W, 3), or (frames, H, W[, 3]); ``.raw`` with :data:`RAW_DESCRIPTION` beside it; a video.
        frame: Index of a frame; None for a file's only one.

    Returns:
        (H, W), or (H, W, 3) in BGR order (an array's channels are taken as BGR); bool arrays and 1-bit images
        as uint8 0 and 255, else whole numbers or floats on the file's own scale. Palettes are turned into the
        colours they stand for; alpha is dropped, for in these data sets it says nothing. An array has none:
        another channel of it is something else, and not dropped.

    Raises:
        UserError: No such file, no image, an array of another shape, more pixels than :func:`pixel_limit`, or
            several frames and none named.
    """
    path = Path(path)
    with one_line(path):
        if (mapped := map_frame(path, frame)) is not None:
            pixels = np.array(mapped)
        elif path.suffix.lower() in _ARRAYS:
            pixels = _archived_frame(path, frame)
        elif path.suffix.lower() in VIDEO_EXTENSIONS:
            pixels = _video_frame(path, frame)
        else:
            pixels = _image_frame(path, frame)
        return plain_pixels(pixels, path)


def count_frames(path: str | os.PathLike) -> int:
    """How many frames a file holds: pages of a TIFF, frames of a GIF, video or array. Pixels are not read.

    Raises:
        UserError: As :func:`read_image`.
    """
    return read_header(path).frames


def image_size(path: str | os.PathLike, frame: int | None = None) -> tuple[int, int]:
    """(width, height) of a frame of a file, of the first for None, from its header.

    Raises:
        UserError: As :func:`read_image`.
    """
    header, path = read_header(path), Path(path)
    if frame:
        with one_line(path):  # pages of a TIFF have sizes of their own
            if (page := tiff_page(path, frame)) is not None:
                _check_size(page.width, page.height, path)
                return page.width, page.height
    return header.width, header.height


def bits_in_use(pixels: np.ndarray, path: str | os.PathLike, frame: int | None = None) -> int:
    """How many of the 16 bits of pixels that :func:`read_image` gave of a file it uses by its own account: 9
    to 15 of a TIFF that packs so many, else 16 (and of pixels of any other type).

    Raises:
        UserError: As :func:`read_image`.
    """
    if pixels.dtype != np.uint16:
        return 16
    path = Path(path)
    with one_line(path):
        page = tiff_page(path, frame)
    return (page and packed_bits(page)) or 16


def read_header(path: str | os.PathLike) -> Header:
    """A file's size, frames and mode; no pixel is read.

    Raises:
        UserError: As :func:`read_image`.
    """
    path = Path(path)
    with one_line(path):
        if path.suffix.lower() in _ARRAYS:
            return _array_header(path)[0]
        if path.suffix.lower() == '.raw':
            return _raw_header(path)[0]
        if path.suffix.lower() in VIDEO_EXTENSIONS:
            return _last_opened.open(_Video, path).header
        with path.open('rb') as file:
            return _image_header(file, path)


# Rows as differences from those above, which are none where a picture was enlarged by squares; OpenCV before
# 4.11 knows no filters and leaves the choice to libpng.
_ENLARGED = [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP] if hasattr(cv2, 'IMWRITE_PNG_FILTER') else []


def encode_png(pixels: np.ndarray, enlarged: bool = False) -> bytes:
    """The bytes of a PNG file.

    Args:
        pixels: (H, W), or (H, W, 3) in BGR order; uint8 or uint16.
        enlarged: Whether most pixels were enlarged to squares: a fifth of the size, and quicker.

    Raises:
        ValueError: OpenCV cannot encode them, or would change them.
    """
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(f'a picture of type {pixels.dtype}, which a PNG cannot hold')
    done, data = cv2.imencode('.png', np.ascontiguousarray(pixels), _ENLARGED if enlarged else [])
    if not done:
        raise ValueError(f'a picture of shape {pixels.shape} and type {pixels.dtype} cannot be encoded')
    return data.tobytes()


def encode_jpeg(pixels: np.ndarray) -> bytes:
    """The bytes of a JPEG file with colours at full resolution, so that thin outlines stay.

    Args:
        pixels: (H, W), or (H, W, 3) in BGR order; uint8.
    """
    options = (cv2.IMWRITE_JPEG_QUALITY, 88)
    sampling = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
    return cv2.imencode('.jpg', np.ascontiguousarray(pixels), (*options, *sampling))[1].tobytes()


#: Scales and qualities that a WebP is tried at, from the best, until it is small enough.
_WEBP_STEPS = ((1.0, 84), (0.85, 80), (0.7, 75), (0.55, 70), (0.4, 60))
_WEBP_SIDE = 16383  # of the format


def encode_webp(pixels: np.ndarray, most: int, flat: bool = False) -> bytes:
    """The bytes of a WebP file, reduced until it is small enough.

    Args:
        pixels: (H, W), or (H, W, 3) in BGR order; uint8.
        most: Bytes that it may take; the last of :data:`_WEBP_STEPS` is taken where even that needs more.
        flat: Whether to try first without loss, which is small for charts.
    """
    fits = min(1.0, _WEBP_SIDE / max(pixels.shape[:2]))
    data = b''
    for scale, quality in (*([(1.0, 101)] if flat else []), *_WEBP_STEPS):  # above 100: without loss
        size = [max(1, round(fits * scale * side)) for side in pixels.shape[1::-1]]
        reduced = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        data = cv2.imencode('.webp', reduced, (cv2.IMWRITE_WEBP_QUALITY, quality))[1].tobytes()
        if len(data) <= most:
            break
    return data


@contextmanager
def one_line(path: Path) -> Iterator[None]:
    """Turn whatever a decoder raises for a damaged file into a UserError."""
    try:
        expect_file(path)
        yield
    except UserError:
        raise
    except MemoryError:
        raise UserError(f'{path}: needs more memory than there is.') from None
    except OSError as e:
        if e.strerror:
            raise UserError(f'{path}: cannot be read ({e.strerror}).') from None
        raise _no_image(path, path.stat().st_size) from None
    except Exception as e:  # every decoder fails in its own way
        raise UserError(f'{path}: not readable as an image ({type(e).__name__}).') from None


def _no_image(path: Path, size: int) -> UserError:
    return UserError(
        f'{path}: not an image ({size} bytes); expected a whole PNG, BMP, TIFF, JPEG, WebP, GIF or array.'
    )


def _check_size(width: int, height: int, path: Path) -> None:
    if min(width, height) < 1:
        raise UserError(f'{path}: {width} × {height} pixels, expected at least one.')
    if width * height > pixel_limit():
        raise UserError(
            f'{path}: {width} × {height} pixels, more than the {pixel_limit():,} that are read; '
            'if the file is right, raise $MADNET_MAX_PIXELS.'
        )


def _index(frame: int | None, frames: int, path: Path) -> int:
    if frame is None and frames != 1:
        raise UserError(
            f'{path}: holds {frames} frames where one image is expected; save each frame as a file of its '
            'own (madnet predict takes all frames of a file).'
        )
    if not 0 <= (frame or 0) < frames:
        raise UserError(f'{path}: has no frame {frame}, only {frames}.')
    return frame or 0


def plain_pixels(pixels: np.ndarray, path: Path) -> np.ndarray:
    """(H, W) or (H, W, 3) of a type in the machine's byte order."""
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4) and path.suffix.lower() not in _ARRAYS:
        pixels = pixels[..., 0] if pixels.shape[2] == 2 else pixels[..., :3]
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3):
        raise UserError(
            f'{path}: found an array of shape {pixels.shape}, expected (H, W) or (H, W, 3); of channels that '
            'are no colours, such as classes, save the one that is meant.'
        )
    if pixels.dtype == bool:
        return pixels.astype(np.uint8) * np.uint8(255)
    if pixels.dtype.kind not in 'uif':
        raise UserError(f'{path}: pixels of type {pixels.dtype}; expected whole numbers or floats.')
    if pixels.dtype.kind == 'f' and pixels.dtype.itemsize not in (4, 8):
        pixels = pixels.astype(np.float32 if pixels.dtype.itemsize == 2 else np.float64)
    return np.ascontiguousarray(pixels, pixels.dtype.newbyteorder('='))


# Images -----------------------------------------------------------------------------------------------------


@contextmanager
def _of_any_size() -> Iterator[None]:
    """Pillow without its limit on pixels: ours is asked instead."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


@contextmanager
def _pillow(file: BinaryIO) -> Iterator[Image.Image]:
    with _of_any_size(), Image.open(file) as image:
        yield image


def _image_header(file: BinaryIO, path: Path) -> Header:
    try:
        with _pillow(file) as image:
            # Of a JPEG, what Pillow counts as frames are previews and depth maps.
            frames = 1 if image.format in ('JPEG', 'MPO') else getattr(image, 'n_frames', 1)
            if image.format == 'TIFF':
                frames = len(_tiff_pages(file))
            header = Header(*image.size, frames, image.mode)
    except OSError:
        file.seek(0)
        if file.read(4) not in MAGIC:
            raise
        first, *others = _tiff_pages(file)  # such as 64-bit floats
        header = Header(first.width, first.height, 1 + len(others))
    _check_size(header.width, header.height, path)
    return header


def _tiff_pages(file: BinaryIO) -> list[Page]:
    at = file.tell()
    try:
        return read_pages(file)
    finally:
        file.seek(at)


def tiff_page(path: Path, frame: int | None) -> Page | None:
    """The page of a frame; None where the file is no TIFF."""
    with path.open('rb') as file:
        if file.read(4) not in MAGIC:
            return None
        header = _image_header(file, path)
        return _tiff_pages(file)[_index(frame, header.frames, path)]


def _image_frame(path: Path, frame: int | None) -> np.ndarray:
    data = path.read_bytes()
    if not data:
        raise _no_image(path, 0)
    header = _image_header(io.BytesIO(data), path)
    index = _index(frame, header.frames, path)
    page = _tiff_pages(io.BytesIO(data))[index] if data[:4] in MAGIC else None
    number = index if page is None else page.number
    if page is not None and (reason := why_not_read(page)):
        raise UserError(
            f'{path}: a TIFF of more than 8 bits {reason}, which no reader here keeps whole; save it as '
            'plain grey or RGB, or as PNG.'
        )
    if data[:4] == b'GIF8' or (header.frames > 1 if page is None else has_alpha(page)):
        # OpenCV multiplies a TIFF's colours by its alpha; Pillow leaves them alone.
        return _pillow_frame(path, number)
    if page is not None and number > 0:
        read, pages = cv2.imreadmulti(str(path), number, 1, None, cv2.IMREAD_UNCHANGED)
        pixels = pages[0] if read and len(pages) else None
    else:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None and page is not None and has_parts(page):
        # such as tiles of 48 × 32 pixels of 8 bits, which OpenCV reads one by one but not together
        pixels = PageWindows(path, page).read(slice(0, page.height), slice(0, page.width))
    elif pixels is not None and page is not None:
        pixels = as_stored(pixels, page)
    if pixels is None:
        raise _no_image(path, len(data))
    _check_size(pixels.shape[1], pixels.shape[0], path)
    return pixels


class _LastOpened(threading.local):
    """The file that a thread last took a frame from, where frames can only be decoded one after the other;
    threads that shared one would move it under each other's hands."""

    key: tuple[object, ...] = ()
    file: Any = None

    def open(self, opened_by: Callable[[Path], Any], path: Path) -> Any:
        key = opened_by, path, path.stat().st_mtime_ns
        if key != self.key:
            self.file, self.key = opened_by(path), key
        return self.file


_last_opened = _LastOpened()


def _pillow_frame(path: Path, index: int) -> np.ndarray:
    with _of_any_size():
        image: Image.Image = _last_opened.open(Image.open, path)
        image.seek(index)
        _check_size(*image.size, path)
        rgb = np.asarray(image.convert('RGB'))
    grey = rgb[..., 0]
    return grey if (rgb == grey[..., None]).all() else rgb[..., ::-1]


def read_palette(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The indices (H, W) uint8 of a palette image, and the colours (256, 3) RGB that they stand for."""
    with one_line(path), path.open('rb') as file, _pillow(file) as image:
        colours = np.frombuffer(bytes(image.getpalette('RGB') or b'').ljust(768, b'\0'), np.uint8)
        return np.array(image), colours.reshape(256, 3)


# Arrays -----------------------------------------------------------------------------------------------------


def _array_header(path: Path) -> tuple[Header, tuple[int, ...]]:
    """The header, and the shape that the file holds."""
    if path.suffix.lower() == '.npy':
        with path.open('rb') as file:
            shape, dtype = _npy_header(file)
            there = path.stat().st_size - file.tell()
    else:
        with zipfile.ZipFile(path) as archive, archive.open(member := _only_member(archive, path)) as file:
            shape, dtype = _npy_header(file)
            there = member.file_size - file.tell()
    if dtype.hasobject:
        raise UserError(f'{path}: holds Python objects, which are not read; expected numbers.')
    if math.prod(shape) * dtype.itemsize > there:
        raise UserError(f'{path}: an array of shape {shape} that is cut off; expected a whole file.')
    frames, (height, width, *_) = _per_frame(shape, path)
    _check_size(width, height, path)
    return Header(width, height, frames, '1' if dtype.kind == 'b' else ''), shape


def _only_member(archive: zipfile.ZipFile, path: Path) -> zipfile.ZipInfo:
    members = archive.infolist()
    if len(members) != 1:
        raise UserError(f'{path}: holds {len(members)} arrays, expected one')
    return members[0]


def _npy_header(file) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype


def _per_frame(shape: tuple[int, ...], path: Path) -> tuple[int, tuple[int, ...]]:
    """How many frames an array of this shape holds, and the shape of one."""
    channels = 1 if len(shape) > 2 and shape[-1] in (1, 2, 3, 4) else 0
    leading = len(shape) - 2 - channels
    if leading < 0 or not math.prod(shape):
        raise UserError(f'{path}: found an array of shape {shape}, expected (H, W), (H, W, 3) or (N, H, W).')
    return math.prod(shape[:leading]), shape[leading:]


def map_frame(path: Path, frame: int | None) -> np.ndarray | None:
    """A frame of a ``.npy`` or ``.raw`` file, mapped into memory: what is not looked at is not read; None for
    files of other kinds."""
    kind = path.suffix.lower()
    if kind == '.npy':
        header, shape = _array_header(path)
        index = _index(frame, header.frames, path)
        array = np.load(path, mmap_mode='r', allow_pickle=False)
        return array.reshape(header.frames, *_per_frame(shape, path)[1])[index]
    if kind == '.raw':
        header, dtype, offset = _raw_header(path)
        shape = header.height, header.width
        begin = offset + _index(frame, header.frames, path) * math.prod(shape) * dtype.itemsize
        return np.memmap(path, dtype, 'r', begin, shape)
    return None


def _archived_frame(path: Path, frame: int | None) -> np.ndarray:
    header, shape = _array_header(path)
    index = _index(frame, header.frames, path)
    with np.load(path, allow_pickle=False) as arrays:
        array = arrays[arrays.files[0]]
    return np.array(array.reshape(header.frames, *_per_frame(shape, path)[1])[index])


# Raw pixels -------------------------------------------------------------------------------------------------


def _raw_header(path: Path) -> tuple[Header, np.dtype, int]:
    """The header, the type of a pixel and the bytes before the first one."""
    beside = path.with_name(RAW_DESCRIPTION)
    example = '{"height": 480, "width": 640, "dtype": "uint16"}'
    if not beside.is_file():
        raise UserError(f'{path}: raw pixels need {beside} to say what they are, such as {example}.')
    try:
        content = json.loads(beside.read_text(encoding='utf-8'))
        height, width = int(content['height']), int(content['width'])
        dtype, offset = np.dtype(content['dtype']), int(content.get('offset', 0))
    except (ValueError, KeyError, TypeError) as e:
        raise UserError(f'{beside}: not understood ({type(e).__name__}: {e}); expected {example}.') from None
    if dtype.kind not in 'uif' or offset < 0:
        raise UserError(f'{beside}: found type {dtype}, offset {offset}; expected numbers and 0 or more.')
    _check_size(width, height, path)
    size, one = path.stat().st_size - offset, height * width * dtype.itemsize
    if size < one or size % one:
        raise UserError(
            f'{path}: {size} bytes of pixels, not a multiple of the {one} of a frame of {width} × {height} '
            f'{dtype} ({beside}).'
        )
    return Header(width, height, size // one), dtype, offset


# Videos -----------------------------------------------------------------------------------------------------


#: FFmpeg's and V4L2's names of pixels that are 16 bits of grey.
_GREY_16 = (b'Y1\0\x10', b'Y16 ')
#: And of others of more than 8 bits; where the last byte comes first, also backwards.
_DEEP = re.compile(
    rb'[YG][1-4].[\x09-\x11 !]|Y210|Y216|Y410|Y416|v410|RGB0|BGR0|RBA@|BRA@|@RBA|@BRA|XYZ\$', re.DOTALL
)


def open_video(where: str | int) -> cv2.VideoCapture:
    """A video, camera or address, which may not have opened, of frames (H, W, 3) BGR uint8, or (H, W) uint16
    where it holds 16 bits of grey; one line says so where OpenCV cuts other pixels to 8 bits."""
    capture = cv2.VideoCapture(where)
    codes = [int(capture.get(p)) for p in (cv2.CAP_PROP_CODEC_PIXEL_FORMAT, cv2.CAP_PROP_FOURCC)]
    names = [code.to_bytes(4, 'little') for code in codes if 0 < code < 2**32]
    if any(name in _GREY_16 for name in names) and capture.set(cv2.CAP_PROP_CONVERT_RGB, 0):
        return capture
    if any(_DEEP.fullmatch(order) for name in names for order in (name, name[::-1])):
        say_once(
            f'{where}: of more than 8 bits, of which OpenCV leaves 8; 16 bits of grey (FFmpeg: '
            '-pix_fmt gray16le) are read whole.'
        )
    return capture


class _Video:
    """An open video, read from front to back."""

    def __init__(self, path: Path):
        self.path = path
        self._open()
        parts = cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_COUNT
        width, height, frames = (int(self._capture.get(part)) for part in parts)
        self.header = Header(width, height, frames)
        if not self._capture.isOpened() or self.header.frames < 1:
            raise UserError(f'{path}: not readable as a video.')
        _check_size(width, height, path)

    def _open(self) -> None:
        self._capture, self._next = open_video(str(self.path)), 0

    def read(self, index: int) -> np.ndarray:
        """A frame, as of :func:`open_video`; frames behind the last one read cost a new start."""
        if index < self._next:
            self._open()
        while self._next <= index:
            read, pixels = self._capture.read()
            if not read:
                raise UserError(f'{self.path}: frame {self._next} cannot be decoded.')
            self._next += 1
        return pixels


def _video_frame(path: Path, frame: int | None) -> np.ndarray:
    video = _last_opened.open(_Video, path)
    return video.read(_index(frame, video.header.frames, path))
