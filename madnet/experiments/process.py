"""Runs in processes of their own, on the GPU of their share."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from madnet.engine.cli import STOPPED
from madnet.engine.folder_lock import FolderInUse, own_folder
from madnet.engine.training_stopped import TrainingStopped
from madnet.experiments.run import Run
from madnet.experiments.shard import Shard
from madnet.experiments.state import begins_with, record_or_new
from madnet.files import not_following
from madnet.overlap import handling
from madnet.records import RunFile
from madnet.starting import module_command

CONSOLE = 'console.log'

#: By these a process knows that it is one of several: a run trains in one, whoever started the comparison.
_LAUNCHER_VARIABLES = ('RANK', 'LOCAL_RANK', 'WORLD_SIZE', 'LOCAL_WORLD_SIZE', 'GROUP_RANK', 'ROLE_RANK')
_LAUNCHER_PREFIXES = ('SLURM_', 'TORCHELASTIC_', 'MASTER_')


def do_in_processes(
    runs: Iterable[Run], due: Callable[[Run], bool], shard: Shard, jobs: int = 1
) -> Iterator[tuple[Run, bool]]:
    """Do runs in new processes, ``jobs`` at a time, so that whatever ends one leaves the others alive.

    A run that begins from another's weights waits until that one has ended; one that another process does is
    left to it.

    Args:
        runs: Their output goes to ``console.log`` in the folder of each, or to the terminal where there is
            one and one run at a time.
        due: Whether a run is to be done, asked when its turn comes.
        shard: Its local rank chooses the GPU.
        jobs: Processes at a time.

    Yields:
        Each of the others twice: with False when it begins, with True when it has ended.

    Raises:
        TrainingStopped: A signal asked to stop; all is saved.
    """
    # one process at a terminal shows its progress there; several would write over each other
    shown = sys.stderr.isatty() and shard.count == jobs == 1
    waiting = list(runs)
    active: dict[Run, subprocess.Popen] = {}
    stopped: list[Run] = []
    with _forwarding_signals(active) as received:
        while active or (waiting and not received and not stopped):
            while len(active) < jobs and not received and not stopped:
                run = _first_ready(waiting, active)
                if run is None:
                    break
                waiting.remove(run)
                if not due(run):
                    continue
                yield run, False
                active[run] = _start(run, shard, shown)
            for run in [run for run, child in active.items() if child.poll() is not None]:
                child = active.pop(run)
                if child.stdin is not None:
                    child.stdin.close()
                if child.returncode == STOPPED or (received and child.returncode != 0):
                    stopped.append(run)
                    for other in active.values():
                        other.terminate()
                # not begun in the same moment as another's
                elif child.returncode == 0 or is_free(run, partial(_say_crashed, run, child.returncode)):
                    yield run, True
            time.sleep(0.1)
    if stopped or waiting:
        names = ', '.join(run.name for run in stopped) or 'between two runs'
        raise TrainingStopped(f'stopped in {names}; the same command goes on.')


def is_free(run: Run, then: Callable[[], object] | None = None) -> bool:
    """Whether no other process does a run, and what is done ``then``, in its folder; one line says which
    does."""
    try:
        with own_folder(run.folder):
            if then is not None:
                then()
            return True
    except FolderInUse as e:
        print(f'{run.name}: left to another command: {e}', file=sys.stderr, flush=True)
        return False


def _first_ready(waiting: Sequence[Run], active: Mapping[Run, object]) -> Run | None:
    """The first run that begins from no weights of one that is still to end."""
    for i, run in enumerate(waiting):
        starts = {file.resolve().parent for file in begins_with(run).values()}
        if starts.isdisjoint(Path(other.folder).resolve() for other in [*active, *waiting[:i]]):
            return run
    return None


def _start(run: Run, shard: Shard, shown: bool) -> subprocess.Popen:
    place = os.devnull if shown else Path(run.folder, CONSOLE)
    with open(place, 'w', encoding='utf-8', opener=not_following) as log:
        return subprocess.Popen(
            module_command('madnet.experiments.worker', run.as_json()),
            # the child stops, and saves, when this pipe closes: also when this process is killed
            stdin=subprocess.PIPE,
            stdout=None if shown else log,
            stderr=None if shown else subprocess.STDOUT,
            env=_environment(shard),
            start_new_session=True,
        )


def _say_crashed(run: Run, code: int) -> None:
    """See to it that the folder of a run whose process has crashed says so."""
    record = record_or_new(run)
    if record.state != 'failed':
        ending = f'killed by {signal.Signals(-code).name}' if code < 0 else f'exit code {code}'
        record.state, record.error = 'failed', f'the process ended: {ending}'
        record.write(Path(run.folder) / RunFile.FILE)


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
def _forwarding_signals(active: Mapping[Run, subprocess.Popen]) -> Iterator[list[int]]:
    """Pass signals on to the processes that are active; yields the list of those received."""
    received: list[int] = []

    def forward(number, frame) -> None:
        received.append(number)
        for child in active.values():
            if child.poll() is None:
                child.send_signal(number)

    with handling(signal.SIGINT, forward), handling(signal.SIGTERM, forward):
        yield received
