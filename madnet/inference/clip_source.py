"""Where the frames of a clip come from: files, folders, cameras, addresses, standard input."""

import io
import math
import re
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import cv2
import numpy as np

from madnet.errors import UserError
from madnet.images import VIDEO_EXTENSIONS
from madnet.images.frames import frame_durations
from madnet.images.headers import pixel_limit
from madnet.images.notices import say_once
from madnet.images.values import ValueRange
from madnet.images.videos import is_cut_off, open_video
from madnet.text import counted

from .inputs import Frame, list_frames

#: Frames a second where the source does not say.
FPS = 25.0


@dataclass(frozen=True)
class ClipFrame:
    """A frame of a clip.

    Attributes:
        number: From 0.
        time: Seconds since the first, as the source says unless a rate is given.
        image: (H, W) or (H, W, 3) BGR, as the source gives it; where it lies; or what is wrong with it.
    """

    number: int
    time: float
    image: np.ndarray | Frame | UserError


class ClipSource(ABC):
    """A sequence of frames.

    Attributes:
        name: For the results to be filed under.
        live: Whether frames come whether or not they are taken.
        ahead: How many frames may be waited for before the one before them is predicted.
        first_must_do: Whether a first frame that cannot be predicted ends the clip.
        length: How many there are, as far as the source says; None where nobody knows.
        fps: Frames a second, as far as is known before they are read.
        left_out: Frames that were not taken in time.
        value_range: In which its frames are read; whoever predicts them says it.
    """

    live = False
    ahead = 2
    first_must_do = False
    length: int | None = None
    left_out = 0
    value_range: ValueRange = None

    def __init__(self, name: str, fps: float | None):
        self.name, self.fps = name, fps or FPS
        if fps is None:
            say_once(f'{name}: times are those of {FPS:g} frames a second; --fps says otherwise.')

    @abstractmethod
    def frames(self) -> Generator[ClipFrame, None, None]:
        """The frames, in order.

        Raises:
            UserError: The clip ends before its end.
        """


class _Files(ClipSource):
    """The files of a folder by name, or the frames of a file."""

    def __init__(self, path: Path, fps: float | None):
        self._frames: list[Frame] = list_frames(path)
        self.length = len(self._frames)
        shown = frame_durations(path) if fps is None and self.length > 1 and path.is_file() else []
        if shown:
            fps = self.length / math.fsum(shown)
        name = path.resolve().name if path.is_dir() else path.stem
        super().__init__(name, fps or (FPS if self.length == 1 else None))
        self._times = [0.0, *accumulate(shown)] if shown else [n / self.fps for n in range(self.length)]

    def frames(self) -> Generator[ClipFrame, None, None]:
        for number, frame in enumerate(self._frames):
            yield ClipFrame(number, self._times[number], frame)


class _Video(ClipSource):
    """A video file, through OpenCV."""

    def __init__(self, path: Path, fps: float | None):
        self._path = path
        self._capture = open_video(str(path))
        if not self._capture.isOpened():
            raise UserError(f'{path}: not readable as a video.')
        self._given = fps
        super().__init__(path.stem, fps or _rate(self._capture))
        if path.suffix.lower() != '.mkv':  # which holds no number; OpenCV gives duration times rate
            self.length = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))) or None

    def frames(self) -> Generator[ClipFrame, None, None]:
        number, began, seconds = 0, 0.0, 0.0
        while True:
            there, image = self._capture.read()
            if not there:
                break
            shown = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            if not number:
                began = shown
            elif shown - began > seconds:
                seconds = shown - began
            else:  # nobody says when
                seconds += 1 / self.fps
            yield ClipFrame(number, number / self._given if self._given else seconds, image)
            number += 1
        if not number:
            raise UserError(f'{self._path}: no frame can be decoded.')
        if is_cut_off(self._capture, self._path, number, seconds):
            raise UserError(
                f'{self._path}: cut off, it ends after {counted(number, "frame")}, at {seconds:.2f} s.'
            )


class _Camera(ClipSource):
    """A camera or an address, through OpenCV."""

    live = True
    ahead = 0

    def __init__(self, where: str, fps: float | None):
        self._where = where
        numbered = _is_number(where)
        self._capture = open_video(int(where) if numbered else where)
        if not self._capture.isOpened():
            kind = 'camera' if numbered else 'stream'
            raise UserError(f'{where}: no {kind} that can be opened.')
        name = f'camera_{where}' if numbered else re.sub(r'\W+', '_', where.partition('://')[2])[:60]
        super().__init__(name.strip('_') or 'stream', fps or _rate(self._capture) or FPS)

    def frames(self) -> Generator[ClipFrame, None, None]:
        number, began = 0, None
        try:
            while self._capture.grab():
                now = time.monotonic()
                began = now if began is None else began
                there, image = self._capture.retrieve()
                lost = UserError(f'{self._where}, frame {number}: cannot be decoded.')
                yield ClipFrame(number, now - began, image if there else lost)
                number += 1
        finally:
            self._capture.release()
        if not number:
            raise UserError(f'{self._where}: gives no frame.')


class GivenFrames(ClipSource):
    """Frames that the caller has, or makes, also one after the other in the same array.

    Raises:
        UserError: A single image, or what holds no frames.
    """

    ahead = 0
    first_must_do = True  # what is wrong with it is mostly wrong with all: their type, shape or scale

    def __init__(self, images: Iterable[np.ndarray], fps: float | None):
        expected = 'expected a path, an address, or frames (H, W) or (H, W, 3), one after the other'
        if isinstance(images, np.ndarray) and (images.ndim < 3 or images.shape[2:] in ((1,), (3,))):
            raise UserError(f'clip: found an array of shape {images.shape}, {expected}, such as [frame].')
        if isinstance(images, bytes | bytearray | memoryview) or not isinstance(images, Iterable):
            raise UserError(f'clip: found {type(images).__name__}, {expected}.')
        super().__init__('frames', fps or FPS)
        self._images = images

    def frames(self) -> Generator[ClipFrame, None, None]:
        for number, image in enumerate(self._images):
            image = image.copy() if isinstance(image, np.ndarray) else image  # the next may come in this one
            yield ClipFrame(number, number / self.fps, image)


class _Pipe(ClipSource):
    """Raw frames, one after the other."""

    ahead = 0

    def __init__(self, file: io.RawIOBase, shape: tuple[int, ...], dtype: np.dtype, fps: float | None):
        super().__init__('stdin', fps)
        self._file, self._shape, self._dtype = file, shape, dtype

    def frames(self) -> Generator[ClipFrame, None, None]:
        size, number = int(np.prod(self._shape)) * self._dtype.itemsize, 0
        while data := self._read(size):
            if len(data) < size:
                raise UserError(
                    f'standard input: ends in the middle of frame {number} ({len(data)} of {size} bytes); is '
                    f'--raw {"x".join(map(str, self._shape))}:{self._dtype} right?'
                )
            pixels = np.frombuffer(data, self._dtype).reshape(self._shape)
            yield ClipFrame(number, number / self.fps, pixels)
            number += 1
        if not number:
            raise UserError('standard input: no frame.')

    def _read(self, size: int) -> bytes:
        """This many bytes, or what is left."""
        parts, missing = [], size
        while missing and (part := self._file.read(missing)):
            parts.append(part)
            missing -= len(part)
        return b''.join(parts)


def _rate(capture: cv2.VideoCapture) -> float | None:
    """Frames a second; None where the source does not say."""
    own = capture.get(cv2.CAP_PROP_FPS)
    return own if 0 < own < 1e5 else None


def open_clip(source: str, fps: float | None = None, raw: str | None = None) -> ClipSource:
    """The clip that a user names.

    Args:
        source: A file, a folder, ``'-'`` for standard input, the number of a camera, or an address.
        fps: Frames a second; None: as the source says, or else :data:`FPS`, which one line says.
        raw: What frames on standard input are, ``HEIGHTxWIDTH:TYPE`` such as ``512x640:uint16``, with ``x3``
            for BGR; little-endian unless the type says otherwise (``>u2``).

    Raises:
        UserError: There is no such thing, or ``raw`` is missing or wrong.
    """
    if source == '-':
        # without a buffer, on whose lock a thread that still reads at the end would keep the process
        return _Pipe(io.FileIO(sys.stdin.fileno(), closefd=False), *parse_raw(raw), fps)
    path = Path(source)
    if not path.exists() and is_stream(source):
        return _Camera(source, fps)
    if path.suffix.lower() in VIDEO_EXTENSIONS and path.is_file():
        return _Video(path, fps)
    return _Files(path, fps)


def is_stream(source: str) -> bool:
    """Whether a source can only be a clip: standard input, a camera, an address."""
    return source == '-' or '://' in source or (_is_number(source) and not Path(source).exists())


def _is_number(source: str) -> bool:
    """Whether a source is a number of a camera, which OpenCV takes as 32 bits."""
    return re.fullmatch('[0-9]{1,9}', source) is not None


def parse_raw(raw: str | None) -> tuple[tuple[int, ...], np.dtype]:
    """Shape (H, W) or (H, W, 3) and type of raw frames.

    Raises:
        UserError: Not given, or not understood.
    """
    example = 'HEIGHTxWIDTH:TYPE such as 512x640:uint16'
    if raw is None:
        raise UserError(f'-: say what the frames on standard input are: --raw {example}.')
    sides, _, kind = raw.partition(':')
    try:
        shape, dtype = tuple(int(side) for side in sides.split('x')), np.dtype(kind)
    except (TypeError, ValueError):
        raise UserError(f'--raw: found {raw!r}, expected {example}.') from None
    fits = len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3))
    if (
        not kind
        or not fits
        or min(shape) < 1
        or dtype.kind not in 'uif'
        or np.prod(shape[:2]) > pixel_limit()
    ):
        raise UserError(f'--raw: found {raw!r}, expected {example}, of numbers, one or three to a pixel.')
    return shape, dtype
