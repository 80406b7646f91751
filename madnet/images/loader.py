"""From a file or an array to the pixels that a detector sees first."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from copy import copy
from pathlib import Path

import numpy as np

from madnet.errors import UserError
from madnet.images.frames import bits_in_use, image_size, read_image
from madnet.images.notices import say_once
from madnet.images.values import (
    ValueRange,
    check_value_range,
    measure_extent,
    measure_range,
    plain_array,
    to_channels,
)
from madnet.images.windows import FrameWindows

#: Frames of more pixels are measured in parts.
LARGE = 2**24


def _readable(
    images: Sequence[tuple[Path, int | None]], read: list[str]
) -> Iterator[np.ndarray | FrameWindows]:
    """The images that can be read and measured, one at a time, and their names into ``read``."""
    for path, frame in images:
        try:
            large = np.prod(image_size(path, frame)) > LARGE
            pixels = FrameWindows(path, frame) if large else read_image(path, frame)
            measure_range([pixels])
        except Exception:  # whoever predicts it will say what is wrong with it
            continue
        read.append(f'{path}' + ('' if frame is None else f', frame {frame}'))
        yield pixels


class FrameLoader:
    """Loads images for prediction: one number of channels, on the 0–255 scale.

    Args:
        channels: 1 (luma) or 3 (BGR).
        value_range: (low, high) grey values that become 0 and 255, for sensors that do not use the whole
            range of their type; what lies outside is clipped. ``'auto'``: percentiles, measured on the images
            that :meth:`measure` is given, else on each image. None: as the type of the file says.
        bit_depth: Bits in use of 16-bit files where there is no ``value_range``, of files that do not say
            themselves that there are fewer.

    Attributes:
        value_range: The range in use, measured or given.

    Raises:
        UserError: ``value_range`` is empty or reversed.
    """

    def __init__(self, channels: int, value_range: ValueRange = None, bit_depth: int = 16):
        self.channels = channels
        self.bit_depth = bit_depth
        self.value_range: ValueRange = check_value_range(value_range)
        self._auto = self.value_range == 'auto'

    def measure(self, images: Sequence[tuple[Path, int | None]]) -> None:
        """Let ``'auto'`` mean one range for all of these images, told once; without meaning otherwise.

        Args:
            images: File and frame of each; of many, some evenly spread ones are read, and none that cannot.
                Without any, each image is measured by itself.
        """
        if not self._auto:
            return
        self.value_range = 'auto'
        read: list[str] = []
        try:
            low, high = measure_range(_readable(images[:: max(1, len(images) // 32)], read), read)
        except UserError:  # none is
            return
        self.value_range = (low, high)
        say_once(f'value range {low:g} to {high:g}, by {len(read)} of {len(images)} images.')

    def fix(self, value_range: ValueRange) -> None:
        """Load by this range from now on, that somebody else has measured, whatever ``'auto'`` meant."""
        self.value_range = check_value_range(value_range)
        self._auto = self.value_range == 'auto'

    def measured(self, images: Sequence[tuple[Path, int | None]]) -> FrameLoader:
        """A loader for these images alone, see :meth:`measure`; this one where there is no ``'auto'``."""
        if not self._auto:
            return self
        loader = copy(self)
        loader.measure(images)
        return loader

    def measure_first(self, image: str | os.PathLike | np.ndarray, frame: int | None = None) -> None:
        """Let ``'auto'`` mean the range of this image, the first of a sequence, from now on; without meaning
        otherwise.

        Args:
            image, frame: As of a call.

        Raises:
            UserError: No image, or NaN or infinite values.
        """
        if self.value_range == 'auto':
            pixels = read_image(image, frame) if isinstance(image, str | os.PathLike) else _checked(image)
            low, high = self.value_range = measure_range([pixels])
            say_once(f'value range {low:g} to {high:g}, by the first frame.')

    def as_taken(self, frame: np.ndarray) -> np.ndarray:
        """A frame that was made on the whole scale of its type (of floats: 0–255), as a camera of this range
        or depth would give it: a call brings it to the same place of 0–255."""
        full = np.iinfo(frame.dtype).max if frame.dtype.kind == 'u' else 255
        if isinstance(self.value_range, tuple):
            low, high = self.value_range
            return (low + frame * ((high - low) / full)).astype(np.float64)
        if frame.dtype == np.uint16:
            return np.rint(frame * ((2**self.bit_depth - 1) / full)).astype(np.uint16)
        return frame

    def __call__(self, image: str | os.PathLike | np.ndarray, frame: int | None = None) -> np.ndarray:
        """
        Args:
            image: A file, or (H, W), (H, W, 1) or (H, W, 3) BGR; uint8, uint16, or floats on the 0–255 scale
                unless there is a ``value_range``.
            frame: Of a file that holds several.

        Returns:
            (H, W, channels) on the 0–255 scale, uint8 or float32.

        Raises:
            UserError: No image, or an array of another shape, type or range.
        """
        if isinstance(image, str | os.PathLike):
            pixels, what = read_image(image, frame), str(image)
            depth = min(self.bit_depth, bits_in_use(pixels, image, frame))
        else:
            pixels, what, depth = _checked(image), 'image array', self.bit_depth
        return to_channels(pixels, self.channels, depth, self.value_range, what)

    def windows(self, path: str | os.PathLike, frame: int | None = None) -> Windows:
        """A frame of a file, of which windows are loaded as a call loads the whole of it."""
        return LoadedWindows(FrameWindows(path, frame), self)


class LoadedWindows:
    """Windows of a frame on the 0–255 scale.

    What depends on all of the frame is found out first, by reading it in parts: the range that ``'auto'``
    stands for, whether all values are finite, and whether floats are on the scale.

    Args:
        frame: The file.
        loader: Says what is black and white.

    Attributes:
        height, width: Of the frame, in pixels.

    Raises:
        UserError: As :meth:`FrameLoader.__call__`.
    """

    def __init__(self, frame: FrameWindows, loader: FrameLoader):
        self._frame, self._loader = frame, loader
        self.height, self.width = frame.height, frame.width
        self._range = measure_range([frame]) if loader.value_range == 'auto' else loader.value_range
        self._extent = measure_extent(frame)
        self._depth = min(loader.bit_depth, frame.bits_in_use())
        self.read(slice(0, 1), slice(0, 1))  # raises what would be raised of every window

    def read(self, rows: slice, columns: slice) -> np.ndarray:
        """(h, w, channels) of a window, uint8 or float32."""
        pixels = self._frame.read(rows, columns)
        return to_channels(
            pixels, self._loader.channels, self._depth, self._range, self._frame.path, self._extent
        )


class ArrayWindows:
    """The windows of an image that is in memory, (H, W, C)."""

    def __init__(self, pixels: np.ndarray):
        self._pixels = pixels
        self.height, self.width = pixels.shape[:2]

    def read(self, rows: slice, columns: slice) -> np.ndarray:
        """(h, w, C) of a window."""
        return self._pixels[rows, columns]


def _checked(image: np.ndarray) -> np.ndarray:
    """An array that is an image, whatever its values: (H, W) or (H, W, 3)."""
    if not isinstance(image, np.ndarray):
        raise UserError(f'{type(image).__name__}: expected an image as a NumPy array, (H, W) or (H, W, 3).')
    image = plain_array(image, 'image array')
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3)) or not image.size:
        raise UserError(
            f'image array of shape {image.shape}: expected (H, W), (H, W, 1) or (H, W, 3) in BGR order.'
        )
    if image.dtype.kind not in 'uif':
        raise UserError(f'image array of type {image.dtype}: expected whole numbers or floats.')
    return image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image


#: A frame to be read in windows.
Windows = LoadedWindows | ArrayWindows
