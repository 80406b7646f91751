"""Trainings in processes of their own, killed at random moments and begun again until they are done."""

import itertools
import multiprocessing
import os
import random
import runpy
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from madnet.engine.checkpoint import LAST, read_checkpoint
from madnet.engine.cli import DONE, FAILED

_TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'train.py'
#: Forked from one that has imported everything, a process begins to train in about a second.
_PROCESSES = multiprocessing.get_context('forkserver')
_PROCESSES.set_forkserver_preload(
    ['madnet.components', 'madnet.engine.train', 'torch._dynamo', 'yapf', 'matplotlib.pyplot']
)
#: Seconds within which whatever is waited for happens on a busy machine.
_PATIENCE = 3600


def _train(arguments: list[str], environment: dict[str, str], said: Path) -> None:
    os.environ.update(environment)
    output = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.argv = [str(_TOOL), *arguments]
    runpy.run_path(str(_TOOL), run_name='__main__')


class Life:
    """What ``madnet train CONFIG --work-dir FOLDER --resume`` does, in one or several processes.

    Args:
        config: The config file.
        folder: The work folder.
        said: Folder for what the processes print.
        ranks: Number of processes; several talk over gloo.
    """

    def __init__(self, config: Path, folder: Path, said: Path, ranks: int = 1):
        said.mkdir(parents=True)
        self._files = [said / f'{rank}.txt' for rank in range(ranks)]
        arguments = [str(config), '--work-dir', str(folder), '--resume']
        environments: list[dict[str, str]] = [{}]
        if ranks > 1:
            arguments += ['--launcher', 'pytorch']
            meeting = {'WORLD_SIZE': str(ranks), 'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': _free_port()}
            environments = [{**meeting, 'RANK': str(r), 'LOCAL_RANK': str(r)} for r in range(ranks)]
        self.processes = [
            _PROCESSES.Process(target=_train, args=(arguments, environment, file))
            for environment, file in zip(environments, self._files, strict=True)
        ]
        self._begun = time.monotonic()
        for process in self.processes:
            process.start()

    @property
    def age(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._begun

    @property
    def alive(self) -> bool:
        """Whether all its processes run."""
        return all(process.is_alive() for process in self.processes)

    @property
    def said(self) -> list[str]:
        """What each process has printed."""
        return [file.read_text() if file.exists() else '' for file in self._files]

    @property
    def trains(self) -> bool:
        """Whether it has been built, and begins its first step or is beyond it."""
        return ' epochs of ' in self.said[0]

    def wait_until(self, happens: Callable[[], bool]) -> None:
        """Wait for something, or for the end of a process."""
        end = time.monotonic() + _PATIENCE
        while self.alive and not happens():
            assert time.monotonic() < end, self.said
            time.sleep(0.002)

    def join(self) -> list[int]:
        """Wait for the end of all processes; returns their exit codes, -9 for a killed one."""
        for process in self.processes:
            process.join(_PATIENCE)
            assert process.exitcode is not None, self.said
        return [process.exitcode for process in self.processes]


def _free_port() -> str:
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return str(s.getsockname()[1])


@dataclass
class Record:
    """What became of the kills.

    Attributes:
        moments: Kills by what the training did: ``starting``, ``training``, or ``writing`` a file.
        runs: Folders of the runs that were done in the end.
        others: Seconds that the other process took to end, for each kill of one of two.
        said: What the processes printed.
    """

    moments: Counter = field(default_factory=Counter)
    runs: list[Path] = field(default_factory=list)
    others: list[float] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def __str__(self):
        moments = ', '.join(f'{n} {moment}' for moment, n in sorted(self.moments.items()))
        others = f'; the other process ended within {max(self.others):.1f} s' if self.others else ''
        return f'{self.moments.total()} kills ({moments}), {len(self.runs)} run(s) done{others}'


def run_with_kills(config: Path, folder: Path, kills: int, epoch: float, ranks: int = 1) -> Record:
    """Train, with ``kill -9`` at random moments, until there were enough of them and the run is done.

    A run that is done before is begun anew in another folder. After each kill every checkpoint has to be
    whole, and the newest no older than before; of two processes, the one that was not killed has to end
    within a minute, with a line. No loading process may be left in the end.

    Args:
        config: The config file.
        folder: Where the runs are made.
        kills: Their number.
        epoch: About the seconds that an epoch takes.
        ranks: Number of processes; of two, one or both are killed.
    """
    draw, record = random.Random(7), Record()
    starting, loading = epoch, {}
    for number in itertools.count():
        run = folder / f'run_{len(record.runs)}'
        before = _iteration(run)
        life = Life(config, run, folder / 'said' / str(number), ranks)
        enough = record.moments.total() >= kills
        if not enough:
            moment = draw.choices(['starting', 'training', 'writing'], [1, 6, 3])[0]
            _wait_for(moment, life, run, draw, starting, epoch)
        if not enough and life.alive:
            if life.trains:
                starting = min(starting, life.age) if before else life.age
            record.moments[_moment(life, run)] += 1
            loading |= _children(life)
            _kill(life, draw.choice([*range(ranks), None]), record)
        else:
            assert life.join() == [DONE] * ranks, life.said
            record.runs.append(run)
        record.said += life.said
        for path in run.glob('[!.]*.pth'):
            read_checkpoint(path)  # whole under every name, whatever was being written
        assert _iteration(run) >= before
        if enough:
            break
    _wait_for_the_end_of(loading)
    return record


def _wait_for(moment: str, life: Life, run: Path, draw: random.Random, starting: float, epoch: float) -> None:
    if moment == 'starting':
        until = draw.uniform(0, starting)
        life.wait_until(lambda: life.age > until)
        return
    life.wait_until(lambda: life.trains)
    for _ in range(draw.randrange(2)):
        known = _identity(run / LAST)
        life.wait_until(lambda known=known: _identity(run / LAST) != known)
    if moment == 'writing':
        life.wait_until(lambda: any(run.glob('.writing-*')))
        time.sleep(draw.uniform(0, 0.02))
        return
    until = life.age + draw.uniform(0, epoch)
    life.wait_until(lambda: life.age > until)


def _moment(life: Life, run: Path) -> str:
    if any(run.glob('.writing-*')):
        return 'writing'
    return 'training' if life.trains else 'starting'


def _kill(life: Life, rank: int | None, record: Record) -> None:
    """Kill one process, or all, and see how the others end."""
    victims = life.processes if rank is None else [life.processes[rank]]
    for process in victims:
        process.kill()
    killed = time.monotonic()
    codes = life.join()
    if len(victims) < len(codes):
        record.others.append(time.monotonic() - killed)
        assert record.others[-1] < 60, life.said
        other = 1 - rank
        assert codes[other] == FAILED, life.said
        assert life.said[other].splitlines()[-1].startswith('failed: '), life.said


def _identity(path: Path) -> tuple[int, int] | None:
    with suppress(FileNotFoundError):
        return path.stat().st_ino, path.stat().st_mtime_ns


def _iteration(run: Path) -> int:
    return read_checkpoint(run / LAST)['meta']['iter'] if (run / LAST).exists() else 0


def _children(life: Life) -> dict[int, str]:
    """Process id → time of start of the loading processes of a life."""
    parents = {str(process.pid) for process in life.processes}
    found = {}
    for path in Path('/proc').glob('[0-9]*/stat'):
        with suppress(OSError):
            state, parent, *_ = fields = path.read_text().rpartition(') ')[2].split()
            if parent in parents and state != 'Z':
                found[int(path.parent.name)] = fields[19]
    return found


def _wait_for_the_end_of(processes: dict[int, str], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while left := [pid for pid, begun in processes.items() if _runs(pid, begun)]:
        assert time.monotonic() < end, f'loading processes left: {left}'
        time.sleep(0.2)


def _runs(pid: int, begun: str) -> bool:
    with suppress(OSError):
        fields = Path(f'/proc/{pid}/stat').read_text().rpartition(') ')[2].split()
        return fields[0] != 'Z' and fields[19] == begun
    return False
