"""Signals from outside: SIGTERM to all processes, and kill -9 at random moments, which loses nothing."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch

from madnet.engine.checkpoint import read_checkpoint


def _start(repository, config, work_dir, *more, **how):
    command = [sys.executable, 'tools/train.py', str(config), '--work-dir', str(work_dir), *more]
    return subprocess.Popen(command, cwd=repository, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **how)


@pytest.mark.skipif(not hasattr(signal, 'sigwaitinfo'), reason='signals do not tell their sender here')
def test_sigterm_to_all_processes_saves_and_leaves(tiny_config, tmp_path, repository):
    """A batch system's way to stop a job: the loading processes get the signal too."""
    tiny_config.write_text(tiny_config.read_text() + 'train_cfg = dict(max_epochs=400)\n')
    loading = ('--cfg-options', 'train_dataloader.num_workers=2', 'train_dataloader.persistent_workers=True')
    process = _start(repository, tiny_config, tmp_path / 'run', *loading, start_new_session=True)
    deadline = time.monotonic() + 120
    while not (tmp_path / 'run' / 'last.pth').exists() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130, said.decode()
    assert 'Traceback' not in said.decode()
    assert 'SIGTERM: saved at epoch' in said.decode()
    with pytest.raises(ProcessLookupError):  # no process is left of them
        os.killpg(process.pid, 0)


@pytest.mark.slow
def test_ten_kills_change_nothing(tiny_config, tmp_path, repository):
    tiny_config.write_text(tiny_config.read_text() + 'train_cfg = dict(max_epochs=40)\n')
    start = time.time()
    whole = _start(repository, tiny_config, tmp_path / 'whole')
    said, _ = whole.communicate()
    assert whole.returncode == 0, said.decode()
    seconds = time.time() - start

    folder = tmp_path / 'killed'
    moments = random.Random(7)
    kills, starts = 0, 0
    while True:
        process = _start(repository, tiny_config, folder, '--resume')
        starts += 1
        try:
            # from before the first step to well inside training; later the runs are left to end
            wait = moments.uniform(0.1, 0.9) * seconds if kills < 10 else None
            said, _ = process.communicate(timeout=wait)
        except subprocess.TimeoutExpired:
            before = {p.name: p.read_bytes() for p in folder.glob('[!.]*.pth')} if folder.exists() else {}
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            kills += 1
            for name in before:
                read_checkpoint(folder / name)  # whole under every name; what is being written has none yet
            continue
        assert process.returncode == 0, said.decode()
        if kills >= 10 or starts > 40:
            break
        # it ended before it was killed: begin again, the earlier kills count
        for path in folder.glob('[!.]*.pth'):
            path.unlink()
    assert kills == 10
    for name in ('last.pth', 'best.pth'):
        a, b = (read_checkpoint(f / name) for f in (tmp_path / 'whole', folder))
        assert a['meta']['epoch'] == b['meta']['epoch'], name
        for key, value in a['state_dict'].items():
            assert torch.equal(value, b['state_dict'][key]), (name, key)
