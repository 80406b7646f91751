"""Reading ``.params`` files of MXNet, in which nothing can run: a list of arrays and their names."""

import struct
from typing import Any

import numpy as np
import torch

from madnet.errors import UserError

#: What such a file begins with: the kind of list, and a reserved zero.
HEAD = struct.pack('<QQ', 0x112, 0)

# the versions of an array that state their storage, or the number of dimensions in 64 bits
_DENSE, _NUMPY = 0xF993FAC9, 0xF993FACA
_DTYPES = {0: '<f4', 1: '<f8', 2: '<f2', 3: '<u1', 4: '<i4', 5: '<i1', 6: '<i8'}


def read_mxnet(data: bytes, path: Any) -> dict[str, torch.Tensor]:
    """Name → tensor of a file that ``save_parameters`` or ``mx.nd.save`` wrote.

    Args:
        data: The whole file.
        path: How messages call it.

    Raises:
        UserError: It is cut short or damaged, or its arrays are sparse or without names.
    """
    reader = _Reader(data)
    try:
        reader.take(len(HEAD))
        arrays = [_read_array(reader) for _ in range(reader.number('<Q'))]
        names = [reader.take(reader.number('<Q')).decode() for _ in range(reader.number('<Q'))]
        if reader.at != len(data) or len(names) != len(arrays) or len({*names}) != len(names):
            raise ValueError(f'{len(arrays)} arrays, {len(names)} names, {len(data) - reader.at} bytes more')
    except (ValueError, struct.error, KeyError, MemoryError) as e:
        raise UserError(f'checkpoint {path}: a damaged or unusual MXNet file ({e}).') from None
    # mx.model.save_checkpoint says of each whether it is learnt
    return {name.removeprefix('arg:').removeprefix('aux:'): a for name, a in zip(names, arrays, strict=True)}


class _Reader:
    """Takes a file from its beginning, and nothing beyond its end."""

    def __init__(self, data: bytes):
        self.data, self.at = memoryview(data), 0

    def take(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            raise ValueError(f'{count} bytes expected at {self.at}, {len(self.data) - self.at} there')
        self.at += count
        return bytes(self.data[self.at - count : self.at])

    def number(self, form: str) -> int:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]


def _read_array(reader: _Reader) -> torch.Tensor:
    version = reader.number('<I')
    if version not in (_DENSE, _NUMPY):
        raise ValueError(f'array of version {version:#x}')
    if storage := reader.number('<i'):
        raise ValueError(f'array of storage type {storage}, expected dense')
    shape = [reader.number('<q') for _ in range(reader.number('<I'))]
    if any(side < 0 for side in shape):
        raise ValueError(f'array of shape {shape}')
    reader.take(8)  # the device that it was on
    dtype = np.dtype(_DTYPES[reader.number('<i')])
    count = int(np.prod(shape, dtype=object))
    values = np.frombuffer(reader.take(count * dtype.itemsize), dtype)
    return torch.from_numpy(values.reshape(shape).copy())
