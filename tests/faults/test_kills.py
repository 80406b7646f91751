"""Signals from outside: SIGTERM to all processes, and kill -9 at random moments, which loses nothing."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping

import pytest
import torch
from killing import Life, run_with_kills

from madnet.engine.checkpoint import BEST, LAST, read_checkpoint

#: Kills of one process, and of two; a hundred of each take half an hour: MADNET_KILLS=100.
KILLS = int(os.environ.get('MADNET_KILLS', '10'))
#: MAD-Net of width 4, four batches an epoch and process, two loading processes each.
SMALL = """
_base_ = ['{configs}/madnet_synthetic.py']
model = dict(backbone=dict(base_channels=4))
train_pipeline = [dict(type='RandomTargetCrop', size=32, target_prob=0.8), *_base_.train_pipeline[1:]]
train_dataloader = dict(
    batch_size=2, num_workers=2, dataset=dict(length={length}, size=48, pipeline=train_pipeline)
)
val_dataloader = dict(dataset=dict(length=2, size=48))
train_cfg = dict(max_epochs={epochs}, val_interval=1)
visualizer = dict(vis_backends=[dict(type='LocalVisBackend')])
default_hooks = dict(overlay=dict(interval=1000))
loader_timeout = 45  # one of two that is killed before they have met never comes: the other waits so long
"""
#: What differs between two equal runs: times of day, durations, and the text of the config, for its folder.
THEIR_OWN = {
    *('time', 'experiment_name', 'cfg', 'eta'),
    *('train/time', 'train/data_time', 'val/time', 'val/data_time'),
}


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
@pytest.mark.parametrize('ranks', [1, 2])
def test_kills_change_nothing(tmp_path, repository, ranks):
    """Bit by bit in one process with two that load; to rounding in two that exchange gradients."""
    config, epochs = tmp_path / 'small.py', 30
    config.write_text(SMALL.format(configs=repository / 'configs', epochs=epochs, length=8 * ranks))
    whole = Life(config, tmp_path / 'whole', tmp_path / 'said', ranks)
    assert whole.join() == [0] * ranks, whole.said
    record = run_with_kills(config, tmp_path / 'killed', KILLS, whole.age / epochs, ranks)
    assert record.moments.total() == KILLS
    assert not [said for said in record.said if 'Traceback' in said or 'Passed over' in said]
    largest = 0.0
    for run in record.runs:
        assert not list(run.glob('.writing-*'))
        for name in (LAST, BEST):
            a, b = (dict(_values(read_checkpoint(folder / name))) for folder in (tmp_path / 'whole', run))
            assert a.keys() == b.keys()
            for key in a:
                if isinstance(a[key], torch.Tensor) and a[key].is_floating_point():
                    largest = max(largest, (a[key] - b[key]).abs().max().item() if a[key].numel() else 0)
                    torch.testing.assert_close(b[key], a[key], msg=f'{name} {key}')
                else:
                    assert a[key] == b[key] if not isinstance(a[key], torch.Tensor) else a[key].equal(b[key])
    assert ranks > 1 or largest == 0
    print(f'\n{record}; largest difference {largest:.3g}; {whole.age:.0f} s without a kill')


def _values(content, name: tuple = ()) -> Iterator[tuple[tuple, object]]:
    """Everything in a checkpoint that is no container, under its path; all that runs share."""
    if isinstance(content, Mapping):
        content = content.items()
    elif isinstance(content, list | tuple):
        content = enumerate(content)
    else:
        yield name, content
        return
    for key, value in content:
        if key not in THEIR_OWN:
            yield from _values(value, (*name, key))
