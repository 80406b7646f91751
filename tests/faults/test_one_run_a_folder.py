"""A second training in the same folder is refused, whoever starts it and however the first one ended."""

import os
import signal
import subprocess
import sys
import time

import pytest

from madnet.engine.checkpoint import LAST
from madnet.engine.folder_lock import LOCK, own_folder
from madnet.errors import UserError

HOLD = """
import os, sys, time
from madnet.engine.folder_lock import own_folder
with own_folder(sys.argv[1]):
    if os.fork() == 0:  # as a loading process, which outlives its training for a while
        print('held', flush=True)  # once it runs: until then it has what its parent had
        time.sleep(60)
        os._exit(0)
    time.sleep(60)
"""


def test_a_lock_ends_with_its_process_not_with_forked_ones(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, '-c', HOLD, str(tmp_path)], stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        assert holder.stdout.readline() == b'held\n'
        with pytest.raises(UserError, match=f'process {holder.pid} on '), own_folder(tmp_path):
            pass
        holder.kill()
        holder.wait()
        with own_folder(tmp_path):
            assert (tmp_path / LOCK).read_text().startswith(f'{os.getpid()} on ')
    finally:
        os.killpg(holder.pid, signal.SIGKILL)


def test_a_folder_without_locks_is_told(tmp_path, monkeypatch, capsys):
    import fcntl

    def refuse(*args):
        raise OSError(37, 'No locks available')

    monkeypatch.setattr(fcntl, 'flock', refuse)
    with own_folder(tmp_path):
        pass
    assert 'cannot be locked (No locks available)' in capsys.readouterr().err


def test_a_second_training_is_refused_and_changes_nothing(tiny_config, tmp_path, repository, run):
    tiny_config.write_text(tiny_config.read_text() + 'train_cfg = dict(max_epochs=400)\n')
    command = [sys.executable, 'tools/train.py', str(tiny_config), '--work-dir', str(tmp_path / 'w')]
    first = subprocess.Popen(command, cwd=repository, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 240
        while not (tmp_path / 'w' / LAST).exists() and first.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        files = sorted(p.name for p in (tmp_path / 'w').iterdir() if not p.name.startswith('.'))
        for more in ((), ('--resume',)):
            code, _, err = run('train', *command[2:], '--cfg-options', 'train_cfg.max_epochs=1', *more)
            assert code == 2
            assert err.splitlines()[-1].startswith('error: ')
            assert f'process {first.pid} on ' in err
            assert 'Traceback' not in err
        assert not list((tmp_path / 'w').glob('before_*'))
        assert len(list((tmp_path / 'w').glob('2*'))) == 1  # one folder of logs: the first one's
        assert set(files) <= {p.name for p in (tmp_path / 'w').iterdir()}
        assert first.poll() is None
    finally:
        first.kill()
        first.wait()
