"""No training waits for ever: for a batch, for another process, or for its own end."""

import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS
from torch.utils.data import DataLoader

import madnet  # noqa: F401
from madnet.engine.checkpoint import LAST, read_checkpoint
from madnet.engine.cli import FAILED, STOPPED, USER_ERROR, run_tool
from madnet.engine.config import load_config
from madnet.engine.train import train
from madnet.engine.training_stopped import TrainingStopped
from madnet.engine.workers import keep_workers_until_saved
from madnet.errors import RunFailed, UserError


@TRANSFORMS.register_module()
class Stall(BaseTransform):
    """At the ``at``-th image of a process: sleeps, as on a disk that does not answer, or ends its process."""

    seen = 0

    def __init__(self, at, send=None, die=False, main=None):
        self.at, self.send, self.die, self.main = at, send, die, main

    def transform(self, results):
        type(self).seen += 1
        if type(self).seen == self.at:
            if self.send is not None:
                os.kill(self.main, self.send)
            if self.die:
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(600)
        return results


@pytest.fixture
def options(tiny_config):
    """Makes the options of a run in which the sixth image stalls: the second batch of four does not come."""
    Stall.seen = 0
    pipeline = load_config(tiny_config).train_dataloader.dataset.pipeline

    def make(workers=0, at=6, **how):
        stall = {'type': 'Stall', 'at': at, 'main': os.getpid(), **how}
        return {
            'train_dataloader.num_workers': workers,
            'train_dataloader.dataset.pipeline': [stall, *pipeline],
            'train_cfg.max_epochs': 1,
            'visualizer.vis_backends': [],
        }

    return make


@pytest.mark.parametrize('workers', [0, 1])
def test_a_stalled_loader_ends_the_run_saved(tiny_config, tmp_path, options, workers):
    said = options(workers)
    with pytest.raises(RunFailed, match=r'no batch has come for .* disk .*loader_timeout.*--resume'):
        train(str(tiny_config), str(tmp_path / 'w'), options={**said, 'loader_timeout': 3})
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    meta = read_checkpoint(tmp_path / 'w' / LAST)['meta']
    assert (meta['epoch'], meta['iter']) == (0, 1)
    # what was saved by force is as good as what is saved between two batches
    for name, resume in (('w', True), ('whole', False)):
        more = {**said, 'train_dataloader.dataset.pipeline': said['train_dataloader.dataset.pipeline'][1:]}
        train(str(tiny_config), str(tmp_path / name), resume, options=more)
    a, b = (read_checkpoint(tmp_path / name / LAST)['state_dict'] for name in ('w', 'whole'))
    assert all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_answered_at_once_and_saved_by_force(tiny_config, tmp_path, options, number, capfd):
    said = {**options(send=number), 'default_hooks.stop_signal.patience': 2.0}
    with pytest.raises(TrainingStopped, match=f'{number.name}: saved at epoch 0, iteration 1 .*--resume'):
        train(str(tiny_config), str(tmp_path / 'w'), options=said)
    assert (
        f'{number.name}: saves and stops after this batch; once more stops at once' in capfd.readouterr().err
    )
    assert read_checkpoint(tmp_path / 'w' / LAST)['meta']['iter'] == 1


def test_a_killed_loading_process_is_one_line(tiny_config, tmp_path, options, capfd):
    code = run_tool(train, str(tiny_config), str(tmp_path / 'w'), options=options(workers=1, die=True))
    line = capfd.readouterr().err.splitlines()[-1]
    assert code == FAILED
    assert re.match('failed: (the|a) loading process (\\d+ )?(was killed|has ended)', line), line
    assert 'most likely for lack of memory. Go on with --resume' in line


class Unsendable:
    """What multiprocessing fails to send from one process to another."""

    def __init__(self, error):
        self.error = error

    def __reduce__(self):
        raise self.error


@pytest.mark.parametrize(
    ('error', 'said'),
    [
        (
            RuntimeError('unable to allocate shared memory(shm) for file </t>: No space left on device (28)'),
            '/dev/shm is full: give it more',
        ),
        (TypeError('cannot pickle this'), 'cannot pickle this'),
    ],
)
def test_a_batch_that_cannot_be_sent_is_an_error(error, said):
    loader = DataLoader([Unsendable(error)] * 2, num_workers=1, collate_fn=lambda items: items, timeout=60)
    with pytest.raises((UserError, TypeError), match=said):
        list(keep_workers_until_saved(loader))


UNINTERRUPTIBLE = """
import hashlib, time
from madnet.engine.watch import Watch
from madnet.errors import RunFailed
watch = Watch(lambda state, seconds: RunFailed('no batch') if state == 'waits' else None, {RunFailed: 1}, 1.0)
watch.waits()
hashlib.pbkdf2_hmac('sha256', b'x', b'y', (1 << 31) - 1)  # stays in C, as a read from a dead disk
"""


def test_a_main_thread_that_does_not_come_back_is_ended():
    ended = subprocess.run(
        [sys.executable, '-c', UNINTERRUPTIBLE], capture_output=True, text=True, timeout=240
    )
    assert ended.returncode == 1
    assert ended.stderr == 'failed: no batch\n'


def _wait_for(path, process, seconds=300):
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.2)


def _can_unshare():
    return os.getuid() == 0 and subprocess.run(['unshare', '-m', 'true'], capture_output=True).returncode == 0


@pytest.mark.skipif(
    not shutil.which('unshare') or not _can_unshare(), reason='needs root, to mount a small /dev/shm'
)
def test_a_small_dev_shm_is_one_line(tiny_config, tmp_path, repository):
    command = [sys.executable, 'tools/train.py', str(tiny_config), '--work-dir', str(tmp_path / 'w')]
    command += ['--cfg-options', 'train_dataloader.num_workers=1']
    script = 'mount -t tmpfs -o size=64k tmpfs /dev/shm && exec "$@"'
    ended = subprocess.run(
        ['unshare', '-m', 'sh', '-c', script, 'sh', *command],
        cwd=repository,
        text=True,
        capture_output=True,
        timeout=300,
    )
    assert 'Traceback' not in ended.stderr
    if torch.__version__ < (2, 8):  # it says no more of its worker than that it has ended
        assert 'fewer loading processes need less memory' in ended.stderr.splitlines()[-1]
        return
    assert ended.returncode == USER_ERROR, ended.stderr
    assert '/dev/shm is full: give it more (docker run --shm-size=8g)' in ended.stderr.splitlines()[-1]


def test_a_closed_terminal_saves(tiny_config, tmp_path, repository):
    """SIGHUP comes to all processes of the terminal, and nothing can be printed any more."""
    tiny_config.write_text(tiny_config.read_text() + 'train_cfg = dict(max_epochs=400)\n')
    command = [sys.executable, 'tools/train.py', str(tiny_config), '--work-dir', str(tmp_path / 'w')]
    command += ['--cfg-options', 'train_dataloader.num_workers=1']
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(repository)
        os.execv(sys.executable, command)
    os.set_blocking(terminal, False)
    deadline = time.monotonic() + 300
    while not (tmp_path / 'w' / LAST).exists() and time.monotonic() < deadline:
        try:
            os.read(terminal, 1 << 16)
        except BlockingIOError:
            time.sleep(0.2)
    before = read_checkpoint(tmp_path / 'w' / LAST)['meta']['iter']
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == STOPPED
    assert read_checkpoint(tmp_path / 'w' / LAST)['meta']['iter'] > before


@pytest.mark.parametrize('loading', ['libtorch_cpu', 'cv2'])
def test_ctrl_c_while_starting_is_one_word(tiny_config, tmp_path, repository, loading):
    command = [sys.executable, 'tools/train.py', str(tiny_config), '--work-dir', str(tmp_path / 'w')]
    process = subprocess.Popen(
        command,
        cwd=repository,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    libraries = Path(f'/proc/{process.pid}/maps')
    while process.poll() is None and loading not in libraries.read_text():
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=240)
    assert process.returncode == STOPPED, err
    assert err == 'interrupted\n'


def test_an_interruption_that_a_library_renames_is_one(capfd):
    def format_config():
        try:
            raise KeyboardInterrupt
        except:  # noqa: E722  as in mmengine
            raise SyntaxError('Failed to format the config file')  # noqa: B904

    assert run_tool(format_config) == STOPPED
    assert capfd.readouterr().err == 'interrupted\n'


RANKS = {'WORLD_SIZE': '2', 'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': '29631'}


def test_a_process_that_never_comes_is_not_waited_for_without_end(tiny_config, tmp_path, monkeypatch):
    for name, value in {**RANKS, 'MASTER_PORT': '29632', 'RANK': '0', 'LOCAL_RANK': '0'}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(RunFailed, match=r'of the 2 processes is missing after 2 s .*1/2 clients joined'):
        train(str(tiny_config), str(tmp_path), launcher='pytorch', options={'loader_timeout': 2})
    assert not torch.distributed.is_initialized()


@pytest.mark.slow
@pytest.mark.parametrize('how', [signal.SIGKILL, signal.SIGSTOP])
def test_the_other_process_stops_within_a_minute(tiny_config, tmp_path, repository, how):
    tiny_config.write_text(
        tiny_config.read_text() + 'train_cfg = dict(max_epochs=400)\nloader_timeout = 20\n'
    )
    command = [
        sys.executable,
        'tools/train.py',
        str(tiny_config),
        '--work-dir',
        str(tmp_path / 'w'),
        '--launcher',
        'pytorch',
    ]
    ranks = [
        subprocess.Popen(
            command,
            cwd=repository,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **RANKS, 'RANK': str(rank), 'LOCAL_RANK': str(rank)},
        )
        for rank in range(2)
    ]
    try:
        _wait_for(tmp_path / 'w' / LAST, ranks[0])
        ranks[1].send_signal(how)
        _, err = ranks[0].communicate(timeout=60)
    finally:
        for rank in ranks:
            rank.kill()
    assert ranks[0].returncode == FAILED, err
    assert 'Traceback' not in err
    last = err.splitlines()[-1]
    assert '--resume' in last
    assert ('has ended or is cut off' if how == signal.SIGKILL else 'likely to be stopped') in last
    assert read_checkpoint(tmp_path / 'w' / LAST)['meta']['epoch'] >= 1


def test_a_first_process_that_accepts_and_says_nothing_is_not_waited_for(tiny_config, tmp_path, repository):
    """As one that was killed, and whose port is somebody else's: torch itself tries again and again."""
    config = tmp_path / 'short.py'
    config.write_text(tiny_config.read_text() + 'loader_timeout = 3\n')
    with socket.create_server(('127.0.0.1', 0)) as silent:
        meeting = {**RANKS, 'MASTER_PORT': str(silent.getsockname()[1]), 'RANK': '1', 'LOCAL_RANK': '1'}
        command = [sys.executable, 'tools/train.py', str(config), '--work-dir', str(tmp_path / 'run')]
        process = subprocess.Popen(
            [*command, '--launcher', 'pytorch'],
            cwd=repository,
            env={**os.environ, **meeting, 'MASTER_ADDR': '127.0.0.1'},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        silent.accept()
        begun = time.monotonic()
        _, said = process.communicate(timeout=60)
    assert time.monotonic() - begun < 15
    assert process.returncode == FAILED
    lines = [line for line in said.splitlines() if line.startswith('failed: ')]
    assert len(lines) == 1
    assert 'of the 2 processes is missing after 3 s' in lines[0]
