"""The pages of a TIFF, and the strips and tiles of one of them."""

import struct
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

from madnet.errors import UserError

#: How a TIFF, or a BigTIFF, begins.
MAGIC = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 256, 257, 258, 259, 262, 266
_SUBFILE, _STRIPS, _ORIENTATION, _SAMPLES, _ROWS, _STRIP_BYTES, _PLANAR = 254, 273, 274, 277, 278, 279, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES = 322, 323, 324, 325
#: What a decoder must know of a strip beside its size: predictor, kind of numbers, tables of JPEG.
_EXTRA = 338  # what samples beyond the colours are: 1 and 2 for alpha
_KEPT = (_BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PLANAR, 317, _EXTRA, 339, 347)
_FORMATS = {1: 'B', 3: 'H', 4: 'I', 7: 'B', 13: 'I', 16: 'Q', 18: 'Q'}
_BLACK_OR_WHITE_IS_ZERO, _RGB = (0, 1), 2
#: Reduced copies of a page (the levels of a pyramid) and masks of transparency are no frames.
_NO_FRAME = 0b101
#: Rows that are read at once of a strip that is not compressed, and may be as high as the image.
_ROWS_AT_ONCE = 64
_CACHE = 2**27  # bytes of decoded strips and tiles


@dataclass(frozen=True)
class Page:
    """An image in a TIFF.

    Attributes:
        number: Of its directory in the file, from 0.
        order: ``'<'`` or ``'>'``, the order of bytes.
        tags: Number of a tag → its whole numbers; tags of other types are left out.
    """

    number: int
    order: str
    tags: dict[int, tuple[int, ...]]

    @property
    def width(self) -> int:
        return self.first(_WIDTH, 0)

    @property
    def height(self) -> int:
        return self.first(_HEIGHT, 0)

    @property
    def channels(self) -> int:
        return self.first(_SAMPLES, 1)

    def first(self, tag: int, default: int) -> int:
        """The first number of a tag."""
        return self.tags.get(tag, (default,))[0]


def read_pages(file: BinaryIO) -> list[Page]:
    """The pages of an open TIFF that are frames: no reduced copies, no masks.

    Raises:
        ValueError, struct.error: The directories cannot be followed.
    """
    file.seek(0)
    head = file.read(16)
    order = '<' if head[:2] == b'II' else '>'
    big = struct.unpack(order + 'H', head[2:4])[0] == 43
    offset = struct.unpack(order + 'Q', head[8:16])[0] if big else struct.unpack(order + 'I', head[4:8])[0]
    pages: list[Page] = []
    seen: set[int] = set()
    while offset and offset not in seen:
        seen.add(offset)
        tags, offset = _read_directory(file, offset, order, big)
        pages.append(Page(len(pages), order, tags))
    return [page for page in pages if not page.first(_SUBFILE, 0) & _NO_FRAME] or pages


def _read_directory(
    file: BinaryIO, offset: int, order: str, big: bool
) -> tuple[dict[int, tuple[int, ...]], int]:
    """The tags of a directory, and where the next one is; 0 after the last."""
    entry, size, pointer = (order + 'HHQ8s', 20, order + 'Q') if big else (order + 'HHI4s', 12, order + 'I')
    file.seek(offset)
    (entries,) = struct.unpack(order + ('Q' if big else 'H'), file.read(8 if big else 2))
    if entries > 4096:
        raise ValueError('a directory of more than 4096 entries')
    data = file.read(entries * size)
    (following,) = struct.unpack(pointer, file.read(8 if big else 4))
    tags = {}
    for tag, kind, count, value in struct.iter_unpack(entry, data):
        if kind not in _FORMATS:
            continue
        layout = f'{order}{count}{_FORMATS[kind]}'
        length = struct.calcsize(layout)
        if length > len(value):
            file.seek(struct.unpack(pointer, value)[0])
            value = file.read(length)
        tags[tag] = struct.unpack(layout, value[:length])
    return tags, following


def why_not_read(page: Page) -> str | None:
    """What of a page no reader here keeps whole; None where all is well."""
    samples = page.channels
    if max(page.tags.get(_BITS, (1,))) <= 8 or samples == 1:
        return None
    if samples in (2, 4):  # OpenCV multiplies what it shows by its alpha, Pillow cuts it to 8 bits
        return 'with an alpha channel (or CMYK)'
    if page.first(_PLANAR, 1) == 2:  # OpenCV takes the first plane's rows for pixels
        return "whose channels lie apart (planarconfig='separate')"
    return None


def has_alpha(page: Page) -> bool:
    """Whether a page is RGB with alpha, of 8 bits."""
    colour = page.first(_PHOTOMETRIC, -1) == _RGB and page.channels == 4
    return colour and page.first(_BITS, 8) == 8 and page.first(_EXTRA, 2) in (1, 2)


def packed_bits(page: Page) -> int | None:
    """Bits of a sample where a page packs 9 to 15 of them; None elsewhere."""
    bits = page.first(_BITS, 1)
    return bits if 8 < bits < 16 else None


def as_stored(pixels: np.ndarray, page: Page) -> np.ndarray:
    """Decoded pixels on the page's own scale, with black as 0.

    OpenCV multiplies packed samples until they fill 16 bits, and turns those whose white is 0 where they have
    8 bits alone.
    """
    if pixels.dtype.kind != 'u' or pixels.dtype.itemsize == 1:
        return pixels
    bits = packed_bits(page) or 8 * pixels.dtype.itemsize
    spare = 8 * pixels.dtype.itemsize - bits
    if spare and not (pixels & (2**spare - 1)).any():  # a decoder that does not multiply is let alone
        pixels = pixels >> spare
    return pixels ^ pixels.dtype.type(2**bits - 1) if page.first(_PHOTOMETRIC, 1) == 0 else pixels


def has_parts(page: Page) -> bool:
    """Whether windows of a page are read strip by strip, or tile by tile, as the whole page is read: grey or
    RGB of 8 to 64 bits, upright, samples together."""
    bits, samples = set(page.tags.get(_BITS, (1,))), page.channels
    photometric = page.first(_PHOTOMETRIC, -1)
    if samples == 1:
        known = photometric in _BLACK_OR_WHITE_IS_ZERO
    else:
        known = samples == 3 and photometric == _RGB and page.first(_PLANAR, 1) == 1
    plain = page.first(_FILL_ORDER, 1) == page.first(_ORIENTATION, 1) == 1
    places = any({a, b} <= page.tags.keys() for a, b in ((_TILES, _TILE_BYTES), (_STRIPS, _STRIP_BYTES)))
    return known and plain and places and len(bits) == 1 and bits <= {8, 16, 32, 64}


class PageWindows:
    """Reads windows of a page, decoding the strips or tiles that they touch.

    Each of them is decoded as a TIFF of its own, by the decoder that reads whole files, so the pixels are the
    same. The last ones decoded are kept.

    Args:
        path: The file.
        page: A page of it with :func:`has_parts`.
    """

    def __init__(self, path: Path, page: Page):
        self.path, self.page = path, page
        self.height, self.width = page.height, page.width
        self._tiled = _TILES in page.tags
        if self._tiled:
            self.part = page.first(_TILE_HEIGHT, 0), page.first(_TILE_WIDTH, 0)
            self._offsets, self._sizes = page.tags[_TILES], page.tags[_TILE_BYTES]
        else:
            self.part = min(page.first(_ROWS, self.height), self.height), self.width
            self._offsets, self._sizes = page.tags[_STRIPS], page.tags[_STRIP_BYTES]
        if min(self.part) < 1:
            raise UserError(f'{path}: strips or tiles of {self.part[1]} × {self.part[0]} pixels.')
        if not self._tiled and page.first(_COMPRESSION, 1) == 1:
            self._cut_strips()
        down, across = (
            -(-side // part) for side, part in zip((self.height, self.width), self.part, strict=True)
        )
        if min(len(self._offsets), len(self._sizes)) < down * across:
            raise UserError(f'{path}: {len(self._offsets)} strips or tiles, expected {down * across}.')
        self._across = across
        self._decoded: OrderedDict[int, np.ndarray] = OrderedDict()
        self._bytes = 0

    def _cut_strips(self) -> None:
        """Take strips that are not compressed as many lower ones."""
        strip = self.part[0]
        rows = next((n for n in range(min(_ROWS_AT_ONCE, strip), 0, -1) if strip % n == 0), 1)
        if strip >= self.height:
            rows = min(_ROWS_AT_ONCE, strip)  # the only strip need not be cut evenly
        line = self.width * sum(self.page.tags[_BITS]) // 8
        starts = [
            (offset + first * line, min(rows, strip - first, self.height - number * strip - first) * line)
            for number, offset in enumerate(self._offsets)
            for first in range(0, min(strip, self.height - number * strip), rows)
        ]
        self.part = rows, self.width
        self._offsets, self._sizes = zip(*starts, strict=True)

    def read(self, rows: slice, columns: slice) -> np.ndarray:
        """The pixels (h, w) or (h, w, 3) BGR of a window.

        Raises:
            UserError: A strip or tile cannot be decoded.
        """
        height, width = self.part
        window: np.ndarray | None = None
        for down in range(rows.start // height, -(-rows.stop // height)):
            for across in range(columns.start // width, -(-columns.stop // width)):
                pixels = self._part(down, across)
                if window is None:
                    shape = rows.stop - rows.start, columns.stop - columns.start, *pixels.shape[2:]
                    window = np.empty(shape, pixels.dtype)
                there, here = zip(
                    _common(rows, down * height, pixels.shape[0]),
                    _common(columns, across * width, pixels.shape[1]),
                    strict=True,
                )
                window[there] = pixels[here]
        assert window is not None, (rows, columns)  # a window has pixels
        return window

    def _part(self, down: int, across: int) -> np.ndarray:
        number = down * self._across + across
        if number in self._decoded:
            self._decoded.move_to_end(number)
            return self._decoded[number]
        height, width = self.part
        if not self._tiled:
            height = min(height, self.height - down * height)
        with self.path.open('rb') as file:
            file.seek(self._offsets[number])
            data = file.read(self._sizes[number])
        pixels = None
        if len(data) == self._sizes[number] > 0:
            pixels = cv2.imdecode(self._as_file(data, height, width), cv2.IMREAD_UNCHANGED)
        if pixels is None or pixels.shape[:2] != (height, width):
            kind = 'tile' if self._tiled else 'strip'
            where = f'the {kind} at row {down * self.part[0]}, column {across * width}'
            raise UserError(f'{self.path}: {where} cannot be decoded.')
        pixels = as_stored(pixels, self.page)
        self._decoded[number] = pixels
        self._bytes += pixels.nbytes
        while self._bytes > _CACHE and len(self._decoded) > self._across:
            self._bytes -= self._decoded.popitem(last=False)[1].nbytes
        return pixels

    def _as_file(self, data: bytes, height: int, width: int) -> np.ndarray:
        """A strip or tile as a file of its own, with one strip."""
        order = self.page.order
        tags = {tag: self.page.tags[tag] for tag in _KEPT if tag in self.page.tags}
        tags |= {_WIDTH: (width,), _HEIGHT: (height,), _ROWS: (height,), _STRIP_BYTES: (len(data),)}
        begin = 8 + 2 + 12 * (len(tags) + 1) + 4  # where values that do not fit into their entry begin
        longer = b''
        entries = b''
        for tag in sorted([*tags, _STRIPS]):
            kind = {347: 7, _WIDTH: 4, _HEIGHT: 4, _ROWS: 4, _STRIP_BYTES: 4, _STRIPS: 4}.get(tag, 3)
            if tag == _STRIPS:
                at = len(entries) + 10  # filled in when the length of all others is known
            values = tags.get(tag, (0,))
            value = struct.pack(f'{order}{len(values)}{_FORMATS[kind]}', *values)
            if len(value) > 4:
                longer += value + b'\0' * (len(value) % 2)
                value = struct.pack(order + 'I', begin + len(longer) - len(value) - len(value) % 2)
            entries += struct.pack(order + 'HHI', tag, kind, len(values)) + value.ljust(4, b'\0')
        head = (b'II' if order == '<' else b'MM') + struct.pack(order + 'HI', 42, 8)
        content = bytearray(head + struct.pack(order + 'H', len(tags) + 1) + entries + b'\0' * 4 + longer)
        struct.pack_into(order + 'I', content, at + 8, len(content))
        return np.frombuffer(bytes(content) + data, np.uint8)


def _common(wanted: slice, begin: int, length: int) -> tuple[slice, slice]:
    """Where what a window and a part have in common lies in the window, and in the part."""
    first, last = max(wanted.start, begin), min(wanted.stop, begin + length)
    return slice(first - wanted.start, last - wanted.start), slice(first - begin, last - begin)
