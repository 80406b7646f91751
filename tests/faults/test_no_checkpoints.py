"""What is no checkpoint is said to be what it is; checkpoints that people have are understood."""

import io
import os
import pickle
import subprocess
import sys
import tarfile
import zipfile

import cv2
import numpy as np
import pytest
import torch
from mmengine.model import PretrainedInit
from torch import nn

from madnet.engine.checkpoint import from_plain, load_weights, state_dict_of
from madnet.engine.checkpoint_file import UnusableCheckpoint, read_checkpoint
from madnet.engine.convert import convert_checkpoint
from madnet.errors import UserError


def _picture(ending):
    return cv2.imencode(ending, np.zeros((9, 9), np.uint8))[1].tobytes()


def _zip(**files):
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, 'w') as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return memory.getvalue()


def _tar():
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode='w') as archive:
        archive.addfile(tarfile.TarInfo('a.pth'))
    return memory.getvalue()


def _script():
    memory = io.BytesIO()
    torch.jit.save(torch.jit.script(nn.Linear(1, 1)), memory)
    return memory.getvalue()


FOREIGN = {
    'an empty file': lambda: b'',
    'an HTML page': lambda: b'\n<!DOCTYPE html><html><body>404</body></html>',
    'an XML page': lambda: b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
    'a git-lfs pointer': lambda: b'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n',
    'a PNG image': lambda: _picture('.png'),
    'a JPEG image': lambda: _picture('.jpg'),
    'a TIFF image': lambda: _picture('.tiff'),
    'a damaged or unusual MXNet file': lambda: (0x112).to_bytes(8, 'little') + bytes(8) + b'\x01' * 100,
    'an ONNX model': lambda: b'\x08\x07\x12\x07pytorch\x1a\x052.1.0:\xff\xfe\x90',
    "a text file that begins with '# Published weights'": lambda: b'# Published weights\n\nand more\n',
    'a NumPy array': lambda: b'\x93NUMPY\x01\x00' + bytes(200),
    'a gzip archive': lambda: b'\x1f\x8b\x08' + bytes(20),
    'a tar archive': _tar,
    'a pickle that was not written by torch': lambda: pickle.dumps({'a': 1}),
    r'a ZIP archive \(in it: a.txt, b\)': lambda: _zip(**{'a.txt': 'x', 'b': 'y'}),
    'a TorchScript program': _script,
    'bytes of an unknown kind that begin with e1 e2': lambda: bytes([0xE1, 0xE2, 0xFF, 3]) * 300,
    'bytes of an unknown kind that begin with 08': lambda: b'\x08',
    'a pickle that was not': lambda: b'\x80',
    'truncated': lambda: b'PK\x03\x04' + bytes(100),
}


@pytest.mark.parametrize('kind', FOREIGN)
@pytest.mark.parametrize('trust', [False, True])
def test_it_is_said_what_it_is_before_any_advice_about_trust(kind, trust, tmp_path):
    (tmp_path / 'a.pth').write_bytes(FOREIGN[kind]())
    with pytest.raises(UnusableCheckpoint, match=kind) as e:
        read_checkpoint(tmp_path / 'a.pth', trust)
    assert str(e.value).startswith(f'checkpoint {tmp_path / "a.pth"}: ')
    assert 'trust' not in str(e.value)
    assert '\n' not in str(e.value)


def test_what_cannot_be_opened(tmp_path):
    for path, words in (
        (tmp_path, 'found a folder'),
        (tmp_path / 'none.pth', 'no such file'),
        (tmp_path / ('x' * 300), 'cannot be read'),
        ('a\0b', 'cannot be read'),
        ('madnet_nanoo', "Did you mean 'madnet_nano'"),
    ):
        with pytest.raises(UserError, match=words):
            read_checkpoint(path)
    os.mkfifo(tmp_path / 'pipe')
    with pytest.raises(UserError, match='a device, pipe or socket'):  # and does not wait for it
        read_checkpoint(tmp_path / 'pipe')


def test_no_permission_is_said_as_such(tmp_path):
    torch.save({'a': torch.ones(1)}, tmp_path / 'a.pth')
    (tmp_path / 'a.pth').chmod(0)
    code = (
        'import os\n'
        'from madnet.engine.checkpoint_file import read_checkpoint\n'
        'if os.getuid() == 0: os.seteuid(65534)\n'
        f'try: read_checkpoint({str(tmp_path / "a.pth")!r})\n'
        'except Exception as e: print(type(e).__name__, e)\n'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.stdout.startswith('UserError checkpoint'), done.stderr
    assert 'cannot be read (Permission denied)' in done.stdout


STATE = {'a.weight': torch.ones(3, 5), 'a.bias': torch.zeros(3)}


@pytest.mark.parametrize('name', ['net', 'model', 'model_state_dict', 'state_dict', 'params', 'G', 'weights'])
def test_wrappers_of_any_name(name, tmp_path):
    more = {'epoch': 3, 'iou': np.float64(0.5), 'optimizer': {'state': {0: {'m': torch.ones(1)}}, 'lr': 1}}
    more |= {'loss': torch.tensor(0.5), 'rng': {'cpu': torch.zeros(9, dtype=torch.uint8)}}
    state = {f'module.{k}': v for k, v in STATE.items()}
    for content in ({name: state, **more}, {**more, name: state}, {name: {'state_dict': state}}):
        torch.save(content, tmp_path / 'a.pth')
        found = state_dict_of(read_checkpoint(tmp_path / 'a.pth'), 'a.pth')
        assert [*found] == [*STATE]


def test_two_wrappers_are_not_guessed_between():
    with pytest.raises(
        UserError, match=r'checkpoint a\.pth: 2 of its entries are dicts of tensors: model, ema'
    ):
        state_dict_of({'model': STATE, 'ema': STATE}, 'a.pth')
    assert state_dict_of({'ema_state_dict': STATE, 'state_dict': STATE}, 'a.pth').keys() == STATE.keys()


def test_counters_of_profilers_are_left_out_and_named_once(capsys):
    zero = torch.zeros(1, dtype=torch.float64)
    state = {'total_ops': zero, 'total_params': zero, 'a.total_ops': zero, 'a.total_params': zero, **STATE}
    model = nn.ModuleDict({'a': nn.Linear(5, 3)})
    load_weights(model, {'net': state}, 'a.pth')
    assert torch.equal(model['a'].weight, STATE['a.weight'])
    assert capsys.readouterr().err.count('left out 4 counters of a profiler (total_ops, total_params)') == 1


ODD = {
    'a list': ({'state_dict': [1, 2]}, 'its state_dict is of type list'),
    'None': ({'state_dict': None}, 'its state_dict is None'),
    'int keys': ({0: torch.ones(1)}, r'found 0 \(int\) as the name of a tensor'),
    'int keys inside': ({'state_dict': {0: torch.ones(1)}}, r'found 0 \(int\)'),
    'nothing': ({}, 'no weights in it; its entries are nothing'),
    'no tensors': ({'epoch': 3, 'x': 'y'}, "no weights in it; its entries are 'epoch', 'x'"),
    'empty': ({'state_dict': {}}, 'no weights'),
}


@pytest.mark.parametrize('kind', ODD)
def test_odd_state_dicts_are_one_line(kind, tmp_path):
    content, words = ODD[kind]
    torch.save(content, tmp_path / 'a.pth')
    for call in (
        lambda: load_weights(nn.Linear(1, 1), read_checkpoint(tmp_path / 'a.pth'), tmp_path / 'a.pth'),
        lambda: convert_checkpoint('madnet', str(tmp_path / 'a.pth'), str(tmp_path / 'b.pth')),
    ):
        with pytest.raises(UserError, match=words) as e:
            call()
        assert str(e.value).startswith(f'checkpoint {tmp_path / "a.pth"}: ')


def test_what_holds_itself_is_one_line(tmp_path):
    circle = {'state_dict': STATE}
    circle['self'] = circle
    deep = []
    for _ in range(300):
        deep = [deep]
    twice = [1]
    for _ in range(60):
        twice = [twice, twice]
    for content in (circle, {'state_dict': STATE, 'x': deep}, {'state_dict': STATE, 'x': twice}):
        torch.save(content, tmp_path / 'a.pth')
        with pytest.raises(UserError, match='container'):
            from_plain(read_checkpoint(tmp_path / 'a.pth'))
    torch.save([1, 2], tmp_path / 'a.pth')
    with pytest.raises(UserError, match='found a list, expected a dict of weights'):
        read_checkpoint(tmp_path / 'a.pth')


def test_numpy_scalars_under_the_names_of_both_versions(tmp_path):
    torch.save({'net': STATE, 'iou': np.float64(0.5), 'n': np.int32(3)}, tmp_path / 'a.pth')
    with zipfile.ZipFile(tmp_path / 'a.pth') as archive:
        parts = {i.filename: archive.read(i) for i in archive.infolist()}
    with zipfile.ZipFile(tmp_path / 'b.pth', 'w') as archive:
        for name, data in parts.items():
            archive.writestr(name, data.replace(b'numpy._core.multiarray', b'numpy.core.multiarray'))
    for name in ('a.pth', 'b.pth'):
        found = read_checkpoint(tmp_path / name)
        assert (found['iou'], found['n']) == (0.5, 3)


@pytest.mark.parametrize('prefix', ['decode_haed', 'decode_haed.'])
def test_a_prefix_that_no_tensor_has_is_told_with_those_there_are(tmp_path, prefix):
    state = {'backbone.weight': torch.ones(1, 1), 'decode_head.weight': torch.full((1, 1), 2.0)}
    torch.save({'state_dict': state}, tmp_path / 'w.pth')
    network = nn.Linear(1, 1, bias=False)
    with pytest.raises(UserError, match=r"decode_haed\.….* begin with backbone, decode_head.*'decode_head'"):
        PretrainedInit(str(tmp_path / 'w.pth'), prefix)(network)
    PretrainedInit(str(tmp_path / 'w.pth'), 'decode_head')(network)
    assert network.weight.item() == 2
