"""A thread beside a training that notices when nothing comes any more."""

import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

from madnet.engine.faults import GIVE_MORE
from madnet.errors import RunFailed

#: Free bytes of /dev/shm below which it is called full: a batch of 16 crops of 512 px takes about 24 MB.
_LITTLE = 32 << 20


class Watch:
    """Ends the main thread's work where it has waited for too long.

    The main thread says when it waits for data (:meth:`waits`) and when it works (:meth:`works`). Once a
    second the thread asks ``due`` whether that has lasted too long. The error that it gets is raised in the
    main thread, by SIGALRM; where that thread does not come back to Python within ``grace`` seconds, as in a
    read from a dead disk or an exchange with a stopped process, the error's line is printed and the process
    ends. Needs to be made in the main thread.

    Args:
        due: Called with ``'waits'`` or ``'works'`` and the seconds that it has lasted, while the main thread
            cannot begin a step. Returns the error that is to end it, or None.
        codes: Type of error → exit code of a process that has to be ended.
        grace: Seconds.
    """

    def __init__(
        self,
        due: Callable[[str, float], Exception | None],
        codes: dict[type[Exception], int],
        grace: float = 10.0,
    ):
        self._due, self._codes, self._grace = due, codes, grace
        self._gate = threading.Lock()
        self._state, self._since = 'works', time.monotonic()
        self._ended = threading.Event()
        self._error: Exception | None = None
        self._main = threading.get_ident()
        self._former = signal.signal(signal.SIGALRM, self._raise)
        threading.Thread(target=self._run, daemon=True, name='watch').start()

    def waits(self) -> None:
        """The main thread waits for a batch, and changes nothing until it says otherwise."""
        self._enter('waits')

    def works(self) -> None:
        """The main thread does something else."""
        self._enter('works')
        if self._error is not None and not self._ended.is_set():
            raise self._error

    def _enter(self, state: str) -> None:
        with self._gate:
            self._state, self._since = state, time.monotonic()

    def end(self) -> None:
        """Stop watching."""
        self._ended.set()
        if self._former is not None:
            signal.signal(signal.SIGALRM, self._former)
            self._former = None

    def _run(self) -> None:
        while not self._ended.wait(1.0):
            with self._gate:
                self._error = self._due(self._state, time.monotonic() - self._since)
            if self._error is not None:
                signal.pthread_kill(self._main, signal.SIGALRM)
                if not self._ended.wait(self._grace):
                    failed = isinstance(self._error, RunFailed)
                    say(f'failed: {self._error}' if failed else str(self._error))
                    os._exit(self._codes[type(self._error)])
                return

    def _raise(self, number, frame) -> None:
        if self._error is not None and not self._ended.is_set():
            raise self._error


def say(line: str) -> None:
    """Print a line on standard error from a signal handler or another thread; nobody may be there to read."""
    try:
        os.write(2, f'{line}\n'.encode())
    except OSError:
        # a closed terminal: what the progress bar writes next would raise too
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        if not os.isatty(1):
            os.dup2(nowhere, 1)


def why_nothing_comes() -> str:
    """What most likely keeps the loading of data from handing over a batch, and what to do."""
    try:
        free = shutil.disk_usage('/dev/shm').free
    except OSError:  # no such thing on this system
        free = _LITTLE
    workers = {pid: _state_of(pid) for child in multiprocessing.active_children() if (pid := child.pid)}
    if workers and free < _LITTLE:
        return (
            f'/dev/shm, through which loading processes hand batches over, has only {free >> 20} MB left: '
            f'{GIVE_MORE}'
        )
    stopped = [str(pid) for pid, state in workers.items() if state == 'T']
    if stopped:
        return f'the loading process {", ".join(stopped)} is stopped: kill -CONT {" ".join(stopped)}'
    if 'D' in workers.values():
        return 'a loading process waits for a disk that does not answer: see to the disk or network share'
    return (
        'a disk or network share that does not answer is likely, or a data set that takes so long: '
        '--cfg-options loader_timeout=600 waits longer'
    )


def _state_of(pid: int) -> str:
    """The state of a process as in /proc: R, S, D, T, Z; empty where that does not exist."""
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(') ')[2][:1]
    except OSError:
        return ''
