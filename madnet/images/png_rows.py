"""PNG files written row by row."""

import struct
import zlib
from typing import BinaryIO

import numpy as np


class PngRows:
    """Writes a grey PNG of which only some rows are in memory.

    Args:
        file: Open for writing bytes; stays open.
        height, width: Of the image, in pixels.
        dtype: uint8 or uint16.
    """

    def __init__(self, file: BinaryIO, height: int, width: int, dtype: type[np.unsignedinteger]):
        self._file, self._dtype = file, np.dtype(dtype).newbyteorder('>')
        self._deflate = zlib.compressobj(3)
        file.write(b'\x89PNG\r\n\x1a\n')
        bits = 8 * self._dtype.itemsize
        self._chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, bits, 0, 0, 0, 0))

    def add(self, rows: np.ndarray) -> None:
        """The next rows, (h, width) of the file's type."""
        lines = rows.astype(self._dtype).view(np.uint8)
        unfiltered = np.zeros((len(lines), 1), np.uint8)  # what each line begins with: its filter, none
        self._chunk(b'IDAT', self._deflate.compress(np.hstack([unfiltered, lines]).tobytes()))

    def finish(self) -> None:
        """Write the end, after the last row."""
        self._chunk(b'IDAT', self._deflate.flush())
        self._chunk(b'IEND', b'')

    def _chunk(self, kind: bytes, data: bytes) -> None:
        self._file.write(struct.pack('>I', len(data)) + kind + data)
        self._file.write(struct.pack('>I', zlib.crc32(data, zlib.crc32(kind))))
