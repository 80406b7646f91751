"""What is known of an image file before its pixels are read, and what is refused of all kinds alike."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

from madnet.errors import UserError
from madnet.files import expect_file


def pixel_limit() -> int:
    """How many pixels a frame may have: ``$MADNET_MAX_PIXELS``, by default 2²⁸.

    A file of a few kB can claim to be an image that no memory holds.

    Raises:
        UserError: The variable holds no positive number.
    """
    value = os.environ.get('MADNET_MAX_PIXELS') or str(2**28)
    if not value.isdecimal() or int(value) < 1:
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
        channels: Of the first frame, as they are stored: alpha is one, a palette stands for three.
    """

    width: int
    height: int
    frames: int = 1
    mode: str = ''
    channels: int = 1


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
        raise no_image(path) from None
    except Exception as e:  # every decoder fails in its own way
        raise UserError(f'{path}: not readable as an image ({type(e).__name__}).') from None


def no_image(path: Path) -> UserError:
    """What is said of a file that no decoder reads."""
    size, cut_off = path.stat().st_size, False
    if size:  # of nothing there is no map
        with path.open('rb') as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            cut_off = is_cut_off(data)
    if cut_off:
        return UserError(f'{path}: is cut off after {size} bytes; expected a whole image: copy it again.')
    return UserError(
        f'{path}: not an image ({size} bytes); expected a whole PNG, BMP, TIFF, JPEG, WebP, GIF or array.'
    )


def is_cut_off(data: bytes | mmap) -> bool:
    """Whether a file lacks its end, as far as its kind says that: a size at its start, or a mark there."""
    if data[:4] == b'RIFF':  # WebP
        return len(data) < 8 + int.from_bytes(data[4:8], 'little')
    if data[:2] == b'BM':
        return len(data) < int.from_bytes(data[2:6], 'little')
    if data[:4] == b'GIF8':
        return data[-1:] != b';'
    if data[:3] == b'\xff\xd8\xff':
        at = 2  # a thumbnail among the segments before the pixels has an end of its own
        while data[at : at + 1] == b'\xff' and data[at + 1 : at + 2] != b'\xda':
            at += 2 + int.from_bytes(data[at + 2 : at + 4], 'big')
        return data.find(b'\xff\xd9', at) < 0
    return data[:8] == b'\x89PNG\r\n\x1a\n' and data.rfind(b'IEND\xaeB`\x82') < 0


def check_size(width: int, height: int, path: Path) -> None:
    """Refuse frames without pixels, or of more than :func:`pixel_limit`."""
    if min(width, height) < 1:
        raise UserError(f'{path}: {width} × {height} pixels, expected at least one.')
    if width * height > pixel_limit():
        raise UserError(
            f'{path}: {width} × {height} pixels, more than the {pixel_limit():,} that are read; '
            'if the file is right, raise $MADNET_MAX_PIXELS.'
        )


def frame_index(frame: int | None, frames: int, path: Path) -> int:
    """The index of a frame in a file of so many, where None stands for the only one; others are refused."""
    if frame is None and frames != 1:
        raise UserError(
            f'{path}: holds {frames} frames where one image is expected; save each frame as a file of its '
            'own (madnet predict takes all frames of a file).'
        )
    if not 0 <= (frame or 0) < frames:
        raise UserError(f'{path}: has no frame {frame}, only {frames}.')
    return frame or 0


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


last_opened = _LastOpened()
