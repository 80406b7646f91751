"""Disks that are full, read-only or gone, and missing permissions: one line with path, reason and advice."""

import errno
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.hooks import Hook
from mmseg.registry import HOOKS
from torch.utils.data import DataLoader

import madnet  # noqa: F401
from madnet.engine.checkpoint import read_checkpoint
from madnet.engine.cli import FAILED, USER_ERROR, run_tool
from madnet.engine.faults import translate
from madnet.engine.train import train
from madnet.errors import RunFailed, UserError
from madnet.records import MetricsFile


def _one_line(err: str) -> str:
    """The last line, once it is sure that there is no traceback before it."""
    assert 'Traceback' not in err
    assert 'Logging error' not in err
    return err.splitlines()[-1]


def _fill(folder: Path) -> None:
    with open(folder / 'filler', 'wb', buffering=0) as file, pytest.raises(OSError, match='No space'):
        _write_for_ever(file)


def _write_for_ever(file) -> None:
    while True:
        file.write(bytes(1024))


@pytest.fixture(scope='module')
def trained(tmp_path_factory, tiny_text):
    """A config, and the folder of its run of one epoch."""
    folder = tmp_path_factory.mktemp('trained')
    (folder / 'tiny.py').write_text(tiny_text)
    train(str(folder / 'tiny.py'), str(folder / 'run'), options=['train_cfg.max_epochs=1'])
    return folder / 'tiny.py', folder / 'run'


@pytest.fixture
def maps(tmp_path):
    """Two masks, which are perfect predictions as well."""
    for i in range(2):
        mask = np.zeros((32, 32), np.uint8)
        mask[8:10, 8:10] = 255
        (tmp_path / 'masks').mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / 'masks' / f'{i}.png'), mask)
    return tmp_path / 'masks'


def _commands(trained, maps, out) -> dict[str, tuple]:
    config, folder = trained
    return {
        'train': ('train', config, '--work-dir', out / 'new'),
        'test': ('test', config, folder / 'best.pth', '--out', out / 'new'),
        'evaluate': ('evaluate', maps, maps, '--out', out / 'new'),
        'convert': ('convert', 'madnet', folder / 'best.pth', out / 'theirs.pth', '--reverse'),
        'report': ('report', maps.parent / 'scored', '--out', out / 'new'),
    }


@pytest.mark.parametrize('tool', ['train', 'test', 'evaluate', 'convert', 'report'])
def test_a_read_only_folder(run, trained, maps, small_disk, make_read_only, tool):
    disk = small_disk(1000)
    make_read_only(disk)
    if tool == 'report':
        assert run('evaluate', maps, maps, '--out', maps.parent / 'scored')[0] == 0
    code, _, err = run(*_commands(trained, maps, disk)[tool])
    assert code == USER_ERROR, err
    line = _one_line(err)
    assert str(disk) in line
    assert 'Read-only file system' in line
    assert 'Give another folder' in line


@pytest.mark.parametrize('tool', ['test', 'evaluate', 'convert', 'report'])
def test_a_full_disk(run, trained, maps, small_disk, tool):
    disk = small_disk(200)
    command = _commands(trained, maps, disk)[tool]
    if tool == 'report':
        assert run('evaluate', maps, maps, '--out', maps.parent / 'scored')[0] == 0
    if tool == 'evaluate':
        assert run(*command)[0] == 0
        before = (disk / 'new' / 'metrics.json').read_bytes()
    _fill(disk)
    code, _, err = run(*command)
    assert code == USER_ERROR, err
    line = _one_line(err)
    assert str(disk) in line
    assert 'space' in line
    if tool == 'evaluate':  # what was there is still whole
        assert (disk / 'new' / 'metrics.json').read_bytes() == before
        assert MetricsFile.read(disk / 'new' / 'metrics.json')
    assert not list(disk.rglob('.writing*'))


def test_a_disk_that_fills_up_in_mid_training(trained, small_disk, capfd):
    disk = small_disk(1900)  # room for some checkpoints, not for all
    code = run_tool(train, str(trained[0]), str(disk / 'run'), options=['train_cfg.max_epochs=6'])
    line = _one_line(capfd.readouterr().err)
    assert code == USER_ERROR
    assert 'No space left on device' in line
    assert '--resume' in line
    for path in (disk / 'run').glob('*.pth'):
        read_checkpoint(path)
    assert not list(disk.rglob('.writing*'))


@HOOKS.register_module()
class RemoveFolder(Hook):
    """Somebody tidies up."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter == 5:
            shutil.rmtree(runner.work_dir)


def test_a_work_folder_that_is_removed_in_mid_training(trained, tmp_path, capfd):
    code = run_tool(
        train,
        str(trained[0]),
        str(tmp_path / 'gone'),
        options={'custom_hooks': [{'type': 'RemoveFolder'}]},
    )
    line = _one_line(capfd.readouterr().err)
    assert code == USER_ERROR
    assert str(tmp_path / 'gone') in line
    assert 'removed' in line


class NoPermission:
    """A data set whose folder may not be read."""

    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), '/data/images')


@pytest.mark.parametrize('workers', [0, 1])
def test_no_permission_also_from_a_loading_process(capfd, workers):
    assert run_tool(lambda: list(DataLoader(NoPermission(), num_workers=workers))) == USER_ERROR
    line = _one_line(capfd.readouterr().err)
    assert line == 'error: /data/images: Permission denied. See who owns it, and its mode.'


def test_a_dev_shm_too_full_for_a_semaphore(capfd, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr('multiprocessing.synchronize.Event', refuse)
    assert run_tool(lambda: list(DataLoader([1], num_workers=1))) == USER_ERROR
    assert '/dev/shm is full: give it more' in capfd.readouterr().err


def test_out_of_memory_and_bus_errors():
    assert 'out of memory' in str(translate(MemoryError()))
    dead = translate(
        RuntimeError('DataLoader worker (pid 7) is killed by signal: Bus error. It is possible …')
    )
    assert isinstance(dead, UserError)
    assert '/dev/shm is full' in str(dead)
    ended = translate(RuntimeError('DataLoader worker (pid(s) 7, 8) exited unexpectedly'))
    assert isinstance(ended, RunFailed)
    assert 'the loading process 7, 8 has ended' in str(ended)


def test_what_nobody_expects_keeps_its_traceback():
    assert translate(RuntimeError('mat1 and mat2 shapes cannot be multiplied')) is None
    assert translate(OSError('without a number')) is None
    assert translate(ValueError('x')) is None


def test_a_signal_of_torchs_while_an_error_is_being_told(capfd, monkeypatch):
    told = []

    def interrupted_once(error):
        told.append(error)
        if len(told) == 1:
            raise RuntimeError('DataLoader worker (pid 7) is killed by signal: Killed. ')
        return translate(error)

    def fail():
        raise ConnectionResetError(errno.ECONNRESET, 'Connection reset by peer')

    monkeypatch.setattr('madnet.engine.cli.translate', interrupted_once)
    assert run_tool(fail) == FAILED
    assert 'the loading process 7 was killed (Killed)' in capfd.readouterr().err


def test_exit_code_of_a_failed_run(capfd):
    def fail():
        raise RunFailed('it diverged')

    assert run_tool(fail) == FAILED
    assert capfd.readouterr().err == 'failed: it diverged\n'
