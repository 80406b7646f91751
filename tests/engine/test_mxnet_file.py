"""Files of MXNet, written here by their format, and cut short at every byte."""

import struct

import numpy as np
import pytest
import torch

from madnet.engine.checkpoint_file import read_checkpoint
from madnet.engine.mxnet_file import read_mxnet
from madnet.errors import UserError

ARRAYS = {
    'arg:stem.weight': np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2) / 7,
    'aux:stem.running_var': np.array([0.5, 2.5]),
    'half': np.array([[1.5, -2]], np.float16),
    'count': np.array([7], np.int64),
}
CODES = {np.dtype(np.float32): 0, np.dtype(np.float64): 1, np.dtype(np.float16): 2, np.dtype(np.int64): 6}


def content(arrays=ARRAYS, version=0xF993FAC9, storage=0):
    """The bytes that ``mx.nd.save`` writes."""
    data = struct.pack('<QQQ', 0x112, 0, len(arrays))
    for array in arrays.values():
        data += struct.pack(f'<IiI{array.ndim}q', version, storage, array.ndim, *array.shape)
        data += struct.pack('<iii', 1, 0, CODES[array.dtype]) + array.tobytes()
    data += struct.pack('<Q', len(arrays))
    return data + b''.join(struct.pack('<Q', len(n)) + n.encode() for n in arrays)


def test_arrays_come_back_by_name(tmp_path):
    path = tmp_path / 'net.params'
    path.write_bytes(content())
    state = read_checkpoint(path)['state_dict']
    assert [*state] == ['stem.weight', 'stem.running_var', 'half', 'count']
    for expected, found in zip(ARRAYS.values(), state.values(), strict=True):
        assert torch.equal(found, torch.from_numpy(expected))


def test_cut_short_anywhere_or_with_more_behind_it():
    whole = content({'a': np.ones((2, 2), np.float32)})
    for size in range(len(whole)):
        with pytest.raises(UserError, match=r'checkpoint x: a damaged or unusual MXNet file'):
            read_mxnet(whole[:size], 'x')
    with pytest.raises(UserError, match='1 bytes more'):
        read_mxnet(whole + b'\0', 'x')


@pytest.mark.parametrize(
    ('made', 'says'),
    [
        ({'storage': 1}, 'storage type 1, expected dense'),
        ({'version': 0xF993FAC8}, 'array of version 0xf993fac8'),
    ],
)
def test_kinds_that_are_not_read(made, says):
    with pytest.raises(UserError, match=says):
        read_mxnet(content(**made), 'x')


def test_huge_claims_take_no_memory():
    data = bytearray(content({'a': np.ones((2, 2), np.float32)}))
    struct.pack_into('<2q', data, 36, 2**40, 2**40)
    with pytest.raises(UserError, match='bytes expected'):
        read_mxnet(bytes(data), 'x')
    struct.pack_into('<Q', data, 16, 2**60)
    with pytest.raises(UserError, match='damaged'):
        read_mxnet(bytes(data), 'x')
