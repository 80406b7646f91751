"""The folder of a new data set: whole, or not there."""

import errno
import os
from pathlib import Path

import pytest

from madnet.curation.writing import fresh_folder
from madnet.datasets.locate import RECORD
from madnet.errors import UserError


def write(out: Path | str) -> None:
    with fresh_folder(out) as folder:
        (folder / RECORD).touch()
        (folder / 'images').mkdir()
        (folder / 'images/a.png').touch()


@pytest.mark.parametrize('out', ['new', 'deep/new', 'empty', '.'])
def test_a_new_folder_and_an_empty_one_that_nothing_replaces(tmp_path, monkeypatch, out):
    inside = tmp_path / 'inside'
    (inside / 'empty').mkdir(parents=True)
    if out == '.':
        (inside / 'empty').rmdir()
    monkeypatch.chdir(inside)
    before = os.stat(out).st_ino if os.path.exists(out) else None
    write(out)
    assert os.stat(out).st_ino == (before or os.stat(out).st_ino), 'the folder that was there stays'
    assert sorted(os.listdir(out)) == [RECORD, 'images']
    assert os.listdir(Path(out) / 'images') == ['a.png']
    assert not [*tmp_path.rglob('.writing-*')]
    with pytest.raises(UserError, match='is there already and holds'):
        write(out)


def test_what_a_killed_try_left_is_told_as_that(tmp_path):
    (tmp_path / '.writing-0').mkdir()
    with pytest.raises(UserError, match=r'\.writing-0: what another try writes there, or has left'):
        write(tmp_path)
    (tmp_path / 'mine').touch()
    with pytest.raises(UserError, match=r'is there already and holds mine;'):
        write(tmp_path)


def test_a_file_system_of_its_own_is_written_within(tmp_path):
    """Beside a mount point there may be neither space nor permission."""
    (tmp_path / 'disk').mkdir()
    with fresh_folder(tmp_path / 'disk') as folder:
        assert folder.parent == tmp_path / 'disk'


def test_what_cannot_be_moved_leaves_the_folder_empty(tmp_path, monkeypatch):
    rename = Path.rename

    def full(path, target):
        if path.name == RECORD:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return rename(path, target)

    monkeypatch.setattr(Path, 'rename', full)
    with pytest.raises(UserError, match='No space left on device'):
        write(tmp_path)
    assert os.listdir(tmp_path) == []
