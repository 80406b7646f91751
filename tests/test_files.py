"""Files that are whole or not there."""

import errno
import os
import stat
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pytest

from madnet.errors import UserError
from madnet.files import (
    expect_writable,
    json_text,
    names_below,
    not_following,
    read_json,
    remove_leftovers,
    replacing,
    settle,
    what_to_do,
    write_json,
    write_whole,
)
from tests.conftest import draw


def test_text_and_bytes_arrive_and_folders_are_made(tmp_path):
    path = write_whole(tmp_path / 'a' / 'b.txt', 'Grüße\n')
    assert path.read_bytes() == 'Grüße\n'.encode()
    write_whole(path, b'\x00\xff')
    assert path.read_bytes() == b'\x00\xff'
    assert os.listdir(path.parent) == ['b.txt']


@pytest.mark.parametrize('failure', [RuntimeError, KeyboardInterrupt, OSError])
def test_a_failure_leaves_the_old_file_and_nothing_beside(tmp_path, failure):
    path = write_whole(tmp_path / 'a.txt', 'old')
    expected = UserError if failure is OSError else failure

    def write():
        with replacing(path) as temporary:
            temporary.write_text('half')
            raise failure

    with pytest.raises(expected):
        write()
    assert path.read_text() == 'old'
    assert os.listdir(tmp_path) == ['a.txt']


def test_the_folder_of_many_files_is_synced_once(tmp_path, monkeypatch):
    synced, fsync = [], os.fsync

    def counted(descriptor):
        synced.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))
        fsync(descriptor)

    monkeypatch.setattr(os, 'fsync', counted)
    for k in range(3):
        write_whole(tmp_path / f'{k}.txt', 'x', settled=False)
    assert synced == [False] * 3
    settle(tmp_path)
    assert synced == [False] * 3 + [True]
    write_whole(tmp_path / '3.txt', 'x')
    assert synced[4:] == [False, True]


@pytest.mark.parametrize('call', ['fsync', 'replace'])
def test_a_full_disk_is_one_line_with_path_and_reason(tmp_path, monkeypatch, call):
    path = write_whole(tmp_path / 'a.json', 'old')

    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(UserError, match=r'a\.json: cannot be written \(No space left on device\)'):
        write_whole(path, 'new')
    assert path.read_text() == 'old'
    assert os.listdir(tmp_path) == ['a.json']


def test_a_file_where_a_folder_must_be_is_one_line(tmp_path):
    write_whole(tmp_path / 'a', '')
    with pytest.raises(UserError, match=r'cannot be written \((Not a directory|File exists)\)'):
        write_whole(tmp_path / 'a' / 'b.txt', 'x')
    (tmp_path / 'folder').mkdir()
    with pytest.raises(UserError, match='found a folder, expected a file'):
        write_whole(tmp_path / 'folder', 'x')
    with pytest.raises(UserError, match='device'):
        write_whole(os.devnull, 'x')
    with pytest.raises(UserError, match='name too long'):
        write_whole(tmp_path / ('n' * 300), 'x')


def test_what_cannot_be_written_is_said_before_the_work(tmp_path):
    file = write_whole(tmp_path / 'file', 'kept')
    expect_writable(file, tmp_path / 'new' / 'deep' / 'a.json', 'a.json')
    assert os.listdir(tmp_path) == ['file']
    assert file.read_text() == 'kept'
    (tmp_path / 'gone').symlink_to(tmp_path / 'nowhere')
    for wrong in (
        tmp_path,
        file / 'a.json',
        file / 'deep' / 'a.json',
        '/proc/a.json',
        tmp_path / 'gone' / 'a',
    ):
        with pytest.raises(UserError, match=f'{wrong}: (cannot be written|found a folder)'):
            expect_writable(wrong)


@pytest.mark.parametrize(
    ('command', 'written'),
    [
        ('export nowhere.py --out {}/a.onnx', 'a.onnx'),
        ('evaluate nowhere nowhere --out {}', 'metrics.json'),
        ('evaluate --compare nowhere nowhere nowhere --out {}', 'compare.json'),
        ('convert acm nowhere.pth {}/a.pth', 'a.pth'),
        ('panel nowhere nowhere A=nowhere --out {}/grid', 'grid.pdf'),
        ('dataset stats nowhere --out {}', 'statistics.json'),
        ('benchmark classical --dataset nowhere --json {}/a.json', 'a.json'),
        ('predict nowhere.onnx images --format json --out {}/out', 'out/targets.json'),
        ('calibrate tophat --dataset . --out {}', 'tophat.calibration.json'),
        ('compare --networks tophat --datasets . --json {}/a.json', 'a.json'),
    ],
)
def test_tools_say_it_before_they_read_anything(tmp_path, run, monkeypatch, command, written):
    """What follows would be refused for another reason, or would write something."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'file').touch()
    for name, part in (('a', 'train'), ('b', 'test')):
        draw(tmp_path / 'images' / f'{name}.png', mask=False)
        draw(tmp_path / 'masks' / f'{name}.png', mask=True)
        (tmp_path / f'{part}.txt').write_text(name)
    before = sorted(tmp_path.rglob('*'))
    code, _, err = run(*command.format('file').split())
    assert (code, err) == (
        2,
        f'error: file/{written}: cannot be written (Not a directory). A part of the path is a file.\n',
    )
    assert sorted(tmp_path.rglob('*')) == before


def test_planted_links_are_not_followed(tmp_path, monkeypatch):
    victim = tmp_path / 'victim'
    victim.write_text('untouched')
    (tmp_path / 'a.txt').symlink_to(victim)
    write_whole(tmp_path / 'a.txt', 'new')
    assert not (tmp_path / 'a.txt').is_symlink()
    # one who foresaw the temporary name too
    monkeypatch.setattr('madnet.files.secrets.token_hex', lambda n: 'known')
    (tmp_path / '.writing-known.txt').symlink_to(victim)
    with pytest.raises(UserError, match='File exists'):
        write_whole(tmp_path / 'a.txt', 'newer')
    assert (tmp_path / 'a.txt').read_text() == 'new'
    assert victim.read_text() == 'untouched'


def test_permissions_are_those_of_any_new_file(tmp_path):
    (tmp_path / 'plain').write_text('')
    write_whole(tmp_path / 'ours', '')
    assert (tmp_path / 'ours').stat().st_mode == (tmp_path / 'plain').stat().st_mode


def test_the_former_file_is_kept(tmp_path):
    for i in range(3):
        with replacing(tmp_path / 'last', keep_as=tmp_path / 'previous') as temporary:
            temporary.write_text(str(i))
    assert (tmp_path / 'last').read_text() == '2'
    assert (tmp_path / 'previous').read_text() == '1'
    assert sorted(os.listdir(tmp_path)) == ['last', 'previous']


def test_without_hard_links_the_same_files_result(tmp_path, monkeypatch):
    def no_links(*args):
        raise OSError

    monkeypatch.setattr(os, 'link', no_links)
    test_the_former_file_is_kept(tmp_path)


def test_leftovers_of_a_kill_go(tmp_path):
    (tmp_path / '.writing-0123.pth').write_text('half')
    write_whole(tmp_path / 'last.pth', 'whole')
    remove_leftovers(tmp_path)
    assert os.listdir(tmp_path) == ['last.pth']


def test_json_is_strict_and_comes_back(tmp_path):
    @dataclass
    class Pair:
        a: float
        b: tuple

    content = {'x': Pair(float('nan'), (1, np.float64(2.5))), 1: np.arange(3), 'inf': np.array([np.inf, 1])}
    path = write_json(tmp_path / 'a.json', content)
    assert read_json(path) == {'x': {'a': None, 'b': [1, 2.5]}, '1': [0, 1, 2], 'inf': [None, 1]}
    assert json_text({'a': 'é'}) == '{\n  "a": "é"\n}\n'


@pytest.mark.parametrize('data', [b'', b'{', b'\xff\xfe', b'[' * 200_000])
def test_what_is_no_json_is_one_line(tmp_path, data):
    path = write_whole(tmp_path / 'a.json', data)
    with pytest.raises(UserError, match=r'a\.json: not readable as JSON') as e:
        read_json(path)
    assert '\n' not in str(e.value)
    with pytest.raises(UserError, match='cannot be read'):
        read_json(tmp_path / 'none.json')


def test_what_grows_follows_no_planted_link(tmp_path):
    (tmp_path / 'victim').write_text('old')
    (tmp_path / 'log').symlink_to(tmp_path / 'victim')
    with (
        pytest.raises(OSError, match='symbolic link') as e,
        open(tmp_path / 'log', 'a', opener=not_following),
    ):
        pass
    assert (tmp_path / 'victim').read_text() == 'old'
    assert 'remove it' in what_to_do(e.value.errno)
    with open(tmp_path / 'new', 'w', opener=not_following) as file:
        file.write('a')
    assert (tmp_path / 'new').read_text() == 'a'


@pytest.mark.parametrize('how', ['one file already', 'a failure'])
def test_keeping_the_old_file_leaves_nothing_over(tmp_path, monkeypatch, how):
    last, previous = tmp_path / 'last', tmp_path / 'previous'
    last.write_text('1')
    real = os.replace

    def replace(source, target):
        if how == 'a failure' and os.fspath(target).endswith('previous'):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(source, target)

    if how == 'one file already':  # as a run leaves it that was killed between the two renames
        os.link(last, previous)
    monkeypatch.setattr(os, 'replace', replace)
    with suppress(UserError), replacing(last, keep_as=previous) as temporary:
        temporary.write_text('2')
    assert last.read_text() == ('1' if how == 'a failure' else '2')
    assert not list(tmp_path.glob('.writing-*'))


def test_links_to_folders_are_followed_unless_they_lead_back(tmp_path):
    top, elsewhere = tmp_path / 'top', tmp_path / 'elsewhere'
    for path in ('top/b', 'top/a/c', 'top/.hidden/d', 'top/a/.e', 'elsewhere/f'):
        write_whole(tmp_path / path, '')
    (top / 'again').symlink_to(elsewhere)
    for link, target in (('a/up', top), ('a/above', tmp_path), ('lost', tmp_path / 'nothing')):
        (top / link).symlink_to(target)
    (elsewhere / 'back').symlink_to(top)
    (elsewhere / 'self').symlink_to(elsewhere)
    (top / 'a/latest').symlink_to(top / 'beside')
    (top / 'once_more').symlink_to(elsewhere)
    write_whole(top / 'beside/g', '')
    assert [*names_below(top)] == ['b', 'lost', 'a/c', 'again/f', 'beside/g']
    assert [*names_below(top, nested=False)] == ['b', 'lost']
