"""Image files to arrays: any depth, one frame or many."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import ExifTags, Image

from madnet.errors import UserError
from madnet.images.arrays import ARRAY_EXTENSIONS, archived_frame, array_header, map_frame, raw_header
from madnet.images.headers import Header, check_size, frame_index, is_cut_off, last_opened, no_image, one_line
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
from madnet.images.videos import VIDEO_EXTENSIONS, Video, video_frame

#: Endings of image files, in the order in which one is preferred to another of the same stem.
EXTENSIONS = (
    *('.png', '.bmp', '.tif', '.tiff', '.jpg', '.jpeg', '.webp', '.gif'),
    *('.npy', '.npz', '.raw'),
)


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
        UserError: No such file, no image, an array of another shape, more pixels than :func:`pixel_limit`,
            an image that viewers turn by its EXIF orientation, or several frames and none named.
    """
    path = Path(path)
    with one_line(path):
        if (mapped := map_frame(path, frame)) is not None:
            pixels = np.array(mapped)
        elif path.suffix.lower() in ARRAY_EXTENSIONS:
            pixels = archived_frame(path, frame)
        elif path.suffix.lower() in VIDEO_EXTENSIONS:
            pixels = video_frame(path, frame)
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
                check_size(page.width, page.height, path)
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
        if path.suffix.lower() in ARRAY_EXTENSIONS:
            return array_header(path)[0]
        if path.suffix.lower() == '.raw':
            return raw_header(path)[0]
        if path.suffix.lower() in VIDEO_EXTENSIONS:
            return last_opened.open(Video, path).header
        with path.open('rb') as file:
            return _image_header(file, path)


def plain_pixels(pixels: np.ndarray, path: Path) -> np.ndarray:
    """(H, W) or (H, W, 3) of a type in the machine's byte order."""
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4) and path.suffix.lower() not in ARRAY_EXTENSIONS:
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
        if getattr(image, 'tag_v2', {}).get(ExifTags.Base.NewSubfileType):  # of a TIFF, such as a thumbnail
            image.seek(_tiff_pages(file)[0].number)
        yield image


def _image_header(file: BinaryIO, path: Path) -> Header:
    try:
        with _pillow(file) as image:
            # Of a JPEG, what Pillow counts as frames are previews and depth maps.
            frames = 1 if image.format in ('JPEG', 'MPO') else getattr(image, 'n_frames', 1)
            if image.format == 'TIFF':
                frames = len(_tiff_pages(file))
            else:
                _refuse_turned(image, file, path)
            channels = 3 if image.mode == 'P' else len(image.getbands())
            header = Header(*image.size, frames, image.mode, channels)
    except OSError:
        file.seek(0)
        if file.read(4) not in MAGIC:
            raise
        first, *others = _tiff_pages(file)  # such as 64-bit floats
        header = Header(first.width, first.height, 1 + len(others), channels=first.channels)
    check_size(header.width, header.height, path)
    return header


def _refuse_turned(image: Image.Image, file: BinaryIO, path: Path) -> None:
    """Refuse what viewers show otherwise than it is stored: masks drawn on it would not fit. (OpenCV turns a
    TIFF as it reads it.)"""
    turning = 1
    with suppress(Exception):  # of a damaged record, which viewers leave alone
        if image.format == 'PNG' and isinstance(file, io.BytesIO):
            image.info['exif'] = _exif_of_png(file.getvalue())
        for key in ('XML:com.adobe.xmp', 'xmp'):  # where Pillow looks next, and OpenCV does not
            image.info.pop(key, None)
        # a PNG's own method would decode it
        turning = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
    if turning in range(2, 9):
        raise UserError(
            f'{path}: viewers turn or mirror it by its EXIF orientation, {turning}, while its pixels are '
            'stored otherwise; expected 1 or none. Save it upright, such as by magick mogrify -auto-orient, '
            'or, where its mask fits the pixels as they are stored, remove the tag (exiftool -Orientation=).'
        )


def _exif_of_png(data: bytes) -> bytes | None:
    """The EXIF record of a PNG, which may follow the pixels, where Pillow's header ends."""
    at = 8
    while chunk := data[at : at + 8]:
        size = int.from_bytes(chunk[:4], 'big')
        if chunk[4:] == b'eXIf':
            return data[at + 8 : at + 8 + size]
        at += 12 + size
    return None


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
        return _tiff_pages(file)[frame_index(frame, header.frames, path)]


def _image_frame(path: Path, frame: int | None) -> np.ndarray:
    data = path.read_bytes()
    if not data or (data.startswith(b'\x89PNG') and is_cut_off(data)):  # of which libpng prints a line
        raise no_image(path)
    header = _image_header(io.BytesIO(data), path)
    index = frame_index(frame, header.frames, path)
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
        raise no_image(path)
    check_size(pixels.shape[1], pixels.shape[0], path)
    return pixels


def _pillow_frame(path: Path, index: int) -> np.ndarray:
    with _of_any_size():
        image: Image.Image = last_opened.open(Image.open, path)
        image.seek(index)
        check_size(*image.size, path)
        if image.mode.startswith(('I', 'F')):  # of which a conversion would leave 8 bits
            return np.asarray(image)
        rgb = np.asarray(image.convert('RGB'))
    grey = rgb[..., 0]
    return grey if (rgb == grey[..., None]).all() else rgb[..., ::-1]


def frame_durations(path: str | os.PathLike) -> list[float]:
    """Seconds for which each frame of an animated GIF, WebP or PNG is shown; none where a file does not say
    it of all its frames."""
    path = Path(path)
    with suppress(UserError), one_line(path), path.open('rb') as file, _pillow(file) as image:
        if image.format in ('GIF', 'WEBP', 'PNG'):
            seconds = []
            for number in range(getattr(image, 'n_frames', 1)):
                image.seek(number)
                image.load()  # a WebP says it only then
                seconds.append(image.info.get('duration', 0) / 1000)
            return seconds if all(seconds) else []
    return []


def read_palette(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The indices (H, W) uint8 of a palette image, and the colours (256, 3) RGB that they stand for."""
    with one_line(path), path.open('rb') as file, _pillow(file) as image:
        colours = np.frombuffer(bytes(image.getpalette('RGB') or b'').ljust(768, b'\0'), np.uint8)
        return np.array(image), colours.reshape(256, 3)


def read_alpha(path: Path) -> np.ndarray | None:
    """How opaque the pixels of an image of 8 bits a channel are, (H, W) uint8; None where it does not say."""
    with one_line(path), path.open('rb') as file, _pillow(file) as image:
        return np.array(image.convert('RGBA'))[..., 3] if image.has_transparency_data else None
