"""Frames of NumPy arrays and of raw pixels in files."""

import json
import math
import zipfile
from pathlib import Path

import numpy as np

from madnet.errors import UserError, expect_whole
from madnet.images.headers import Header, check_size, frame_index

#: Beside ``.raw`` files: what their bytes are, such as ``{"height": 480, "width": 640, "dtype": "uint16"}``.
RAW_DESCRIPTION = 'raw.json'

#: Endings of NumPy's files.
ARRAY_EXTENSIONS = ('.npy', '.npz')


def array_header(path: Path) -> tuple[Header, tuple[int, ...]]:
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
    frames, (height, width, *channels) = _per_frame(shape, path)
    check_size(width, height, path)
    return Header(width, height, frames, '1' if dtype.kind == 'b' else '', *channels), shape


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
        header, shape = array_header(path)
        index = frame_index(frame, header.frames, path)
        array = np.load(path, mmap_mode='r', allow_pickle=False)
        return array.reshape(header.frames, *_per_frame(shape, path)[1])[index]
    if kind == '.raw':
        header, dtype, offset = raw_header(path)
        shape = header.height, header.width
        begin = offset + frame_index(frame, header.frames, path) * math.prod(shape) * dtype.itemsize
        return np.memmap(path, dtype, 'r', begin, shape)
    return None


def archived_frame(path: Path, frame: int | None) -> np.ndarray:
    """A frame of a ``.npz`` file, on the file\'s own scale."""
    header, shape = array_header(path)
    index = frame_index(frame, header.frames, path)
    with np.load(path, allow_pickle=False) as arrays:
        array = arrays[arrays.files[0]]
    return np.array(array.reshape(header.frames, *_per_frame(shape, path)[1])[index])


def raw_header(path: Path) -> tuple[Header, np.dtype, int]:
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
    if dtype.kind not in 'uif':
        raise UserError(f'{beside}: dtype: found {str(dtype)!r}, expected whole or floating-point numbers.')
    expect_whole(offset, f'{beside}: offset', least=0)
    check_size(width, height, path)
    size, one = path.stat().st_size - offset, height * width * dtype.itemsize
    if size < one or size % one:
        raise UserError(
            f'{path}: {size} bytes of pixels, not a multiple of the {one} of a frame of {width} × {height} '
            f'{dtype} ({beside}).'
        )
    return Header(width, height, size // one), dtype, offset
