"""Windows of a frame, read from its file as they are needed."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from madnet.images.arrays import map_frame
from madnet.images.frames import bits_in_use, plain_pixels, read_image, tiff_page
from madnet.images.headers import one_line
from madnet.images.tiff import PageWindows, has_parts

#: Pixels that :meth:`FrameWindows.bands` reads at once.
_BAND = 2**22


class FrameWindows:
    """A frame of a file, of which windows are read.

    Parts of TIFFs (in strips or tiles, grey or RGB, however they are compressed), of ``.npy`` and of ``.raw``
    files are read and nothing else. Files of other kinds, whose pixels depend on all those before them, are
    read whole when the first window is asked for.

    Args:
        path, frame: As for :func:`~madnet.images.read_image`.

    Attributes:
        height, width: Of the frame, in pixels.

    Raises:
        UserError: As :func:`~madnet.images.read_image`.
    """

    def __init__(self, path: str | os.PathLike, frame: int | None = None):
        self.path, self._frame = Path(path), frame
        self._page: PageWindows | None = None
        self._whole: np.ndarray | None = None
        self._rows = 1
        with one_line(self.path):
            mapped = map_frame(self.path, frame)
            page = tiff_page(self.path, frame) if mapped is None else None
            if mapped is not None:
                self.height, self.width = mapped.shape[:2]
            elif page is not None and has_parts(page):
                self._page = PageWindows(self.path, page)
                self.height, self.width, self._rows = self._page.height, self._page.width, self._page.part[0]
            else:
                self._whole = read_image(self.path, frame)
                self.height, self.width = self._whole.shape[:2]

    def read(self, rows: slice, columns: slice) -> np.ndarray:
        """``read_image(path, frame)[rows, columns]``, a window within the frame.

        Raises:
            UserError: This part of the file is damaged.
        """
        if self._whole is not None:
            return self._whole[rows, columns]
        with one_line(self.path):
            if self._page is not None:
                pixels = self._page.read(rows, columns)
            else:
                # Mapped anew each time: pages of the file that stay mapped would count as memory in use.
                mapped = map_frame(self.path, self._frame)
                assert mapped is not None, self.path  # as when it was opened
                pixels = np.array(mapped[rows, columns])
            return plain_pixels(pixels, self.path)

    def bits_in_use(self) -> int:
        """As :func:`~madnet.images.frames.bits_in_use`."""
        return bits_in_use(self.read(slice(0, 1), slice(0, 1)), self.path, self._frame)

    def bands(self) -> Iterator[tuple[slice, np.ndarray]]:
        """The whole frame from top to bottom in parts of all columns: its rows, and their pixels."""
        rows = max(1, _BAND // self.width // self._rows) * self._rows
        for first in range(0, self.height, rows):
            span = slice(first, min(first + rows, self.height))
            yield span, self.read(span, slice(0, self.width))
