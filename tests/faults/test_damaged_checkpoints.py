"""Damage is noticed when a checkpoint is read, and the one before is taken."""

import random

import pytest
import torch

from madnet.engine.checkpoint import LAST, PREVIOUS, find_whole_checkpoint
from madnet.engine.checkpoint_file import UnusableCheckpoint, read_checkpoint
from madnet.errors import UserError


def _content(epoch):
    torch.manual_seed(epoch)
    weights = {f'layer{i}.weight': torch.randn(40, 100) for i in range(8)}
    moments = {i: {'exp_avg': torch.randn(40, 100), 'step': torch.tensor(3.0)} for i in range(8)}
    return {'meta': {'epoch': epoch, 'iter': 9}, 'state_dict': weights, 'optimizer': {'state': moments}}


def _same(a, b):
    if isinstance(a, dict):
        return isinstance(b, dict) and {*a} == {*b} and all(_same(a[k], b[k]) for k in a)
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


@pytest.fixture
def folder(tmp_path):
    """A folder with a last and a previous checkpoint of a quarter of a megabyte."""
    for name, epoch in ((PREVIOUS, 1), (LAST, 2)):
        torch.save(_content(epoch), tmp_path / name)
    return tmp_path


def _flip(data, rng):
    place = rng.randrange(len(data) * 8)
    data[place // 8] ^= 1 << place % 8


def _zero_page(data, rng):
    page = rng.randrange(-(-len(data) // 4096)) * 4096
    data[page : page + 4096] = bytes(len(data[page : page + 4096]))


@pytest.mark.parametrize('damage', [_flip, _zero_page])
def test_damages_are_noticed(damage, folder):
    whole, rng, noticed = (folder / LAST).read_bytes(), random.Random(1), 0
    expected = _content(2)
    for _ in range(50):
        data = bytearray(whole)
        damage(data, rng)
        if data == whole:
            continue
        (folder / LAST).write_bytes(data)
        said = []
        path, found = find_whole_checkpoint(folder, said.append)
        if path.name == LAST:
            assert _same(found, expected)  # a flip in a header that decides nothing
            continue
        noticed += 1
        assert _same(found, _content(1))
        assert len(said) == 1
        assert LAST in said[0]
        assert said[0].endswith('Passed over.')
    assert noticed >= 45


def test_damage_everywhere_is_one_line(folder):
    for name in (LAST, PREVIOUS):
        data = bytearray((folder / name).read_bytes())
        data[len(data) // 2] ^= 1
        (folder / name).write_bytes(data)
    with pytest.raises(UserError, match=r'last\.pth and previous\.pth are damaged'):
        find_whole_checkpoint(folder, lambda line: None)


def test_a_last_that_needs_trust_is_not_called_damaged(folder):
    torch.save({**_content(3), 'x': random.Random()}, folder / LAST)
    said = []
    with pytest.raises(UserError, match='--trust-checkpoint'):
        find_whole_checkpoint(folder, said.append)
    assert said == []
    assert find_whole_checkpoint(folder, said.append, trust=True)[1]['meta']['epoch'] == 3


def test_safetensors_are_checked(tmp_path):
    import safetensors.torch

    data = safetensors.torch.save({'a.weight': torch.ones(3, 5), 'b': torch.zeros(2)})
    for name in ('a.safetensors', 'a.pth'):  # by its bytes, whatever its ending
        (tmp_path / name).write_bytes(data)
        found = read_checkpoint(tmp_path / name)
        assert _same(found['state_dict'], {'a.weight': torch.ones(3, 5), 'b': torch.zeros(2)})
    for bad in (data[:-1], data + b'x', data.replace(b'[3,5]', b'[3,9]'), b'\xff' + data[1:]):
        (tmp_path / 'a.safetensors').write_bytes(bad)
        with pytest.raises(UnusableCheckpoint, match=r'a\.safetensors'):
            read_checkpoint(tmp_path / 'a.safetensors')


def test_old_pickles_of_torch_are_read(tmp_path):
    torch.save(_content(1), tmp_path / 'old.pth', _use_new_zipfile_serialization=False)
    assert _same(read_checkpoint(tmp_path / 'old.pth'), _content(1))
    data = (tmp_path / 'old.pth').read_bytes()
    (tmp_path / 'old.pth').write_bytes(data[: len(data) // 2])
    with pytest.raises(UnusableCheckpoint, match='damaged or truncated'):
        read_checkpoint(tmp_path / 'old.pth')


def test_an_archive_made_to_fill_the_memory_is_refused(tmp_path):
    import zipfile

    torch.save({'a': torch.zeros(2)}, tmp_path / 'a.pth')
    with zipfile.ZipFile(tmp_path / 'a.pth', 'a', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('a/data/7', bytes(200 * 2**20))
    with pytest.raises(UnusableCheckpoint, match='fill the memory'):
        read_checkpoint(tmp_path / 'a.pth')
