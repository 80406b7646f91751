"""One run in a process of its own, on the GPU of its share."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from madnet.engine.cli import STOPPED
from madnet.engine.training_stopped import TrainingStopped
from madnet.experiments.plan import Run
from madnet.experiments.shard import Shard
from madnet.experiments.state import read_record
from madnet.records import RunFile

CONSOLE = 'console.log'

#: By these a process knows that it is one of several: a run trains in one, whoever started the comparison.
_LAUNCHER_VARIABLES = ('RANK', 'LOCAL_RANK', 'WORLD_SIZE', 'LOCAL_WORLD_SIZE', 'GROUP_RANK', 'ROLE_RANK')
_LAUNCHER_PREFIXES = ('SLURM_', 'TORCHELASTIC_', 'MASTER_')


def do_in_a_process(run: Run, shard: Shard) -> None:
    """Do a run in a new process, so that whatever ends it leaves this one alive.

    Args:
        run: Its output goes to ``console.log`` in its folder, or to the terminal where there is one.
        shard: Its local rank chooses the GPU.

    Raises:
        TrainingStopped: A signal asked to stop; all is saved.
    """
    folder = Path(run.folder)
    folder.mkdir(parents=True, exist_ok=True)
    # one process at a terminal shows its progress there; several would write over each other
    shown = sys.stderr.isatty() and shard.count == 1
    with open(os.devnull if shown else folder / CONSOLE, 'w', encoding='utf-8') as log:
        child = subprocess.Popen(
            [sys.executable, '-m', 'madnet.experiments.worker', run.as_json()],
            # the child stops, and saves, when this pipe closes: also when this process is killed
            stdin=subprocess.PIPE,
            stdout=None if shown else log,
            stderr=None if shown else subprocess.STDOUT,
            env=_environment(shard),
            start_new_session=True,
        )
        with _forwarding_signals(child) as received:
            code = child.wait()
        child.stdin.close()
    if code == STOPPED or (received and code != 0):
        raise TrainingStopped(f'stopped in {run.name}; the same command goes on.')
    record = read_record(folder) or RunFile(run.wanted())
    if code != 0 and record.state != 'failed':
        ending = f'killed by {signal.Signals(-code).name}' if code < 0 else f'exit code {code}'
        record.state, record.error = 'failed', f'the process ended: {ending}'
        record.write(folder / RunFile.FILE)


def _environment(shard: Shard) -> dict[str, str]:
    environment = {
        k: v
        for k, v in os.environ.items()
        if k not in _LAUNCHER_VARIABLES and not k.startswith(_LAUNCHER_PREFIXES)
    }
    if shard.local_rank is not None:
        visible = _visible_gpus()
        if visible:
            environment['CUDA_VISIBLE_DEVICES'] = visible[shard.local_rank % len(visible)]
    return environment


def _visible_gpus() -> list[str]:
    named = os.environ.get('CUDA_VISIBLE_DEVICES')
    if named is not None:
        return [g for g in named.split(',') if g]
    import torch

    return [str(g) for g in range(torch.cuda.device_count())]


@contextmanager
def _forwarding_signals(child: subprocess.Popen) -> Iterator[list[int]]:
    received = []

    def forward(number, frame) -> None:
        received.append(number)
        if child.poll() is None:
            child.send_signal(number)

    former = {n: signal.signal(n, forward) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
