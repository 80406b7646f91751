"""Work that goes on beside the main thread."""

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from multiprocessing.connection import wait
from typing import Any, TypeVar

#: By how much the threads and processes of :class:`InTurn` are nicer than the caller, who is waited for.
NICER = 5

_Item = TypeVar('_Item')
_Value = TypeVar('_Value')


class InTurn:
    """Calls functions beside the caller, in the order in which they are given: in one thread, one after the
    other; in several, as many at once.

    What one of them raises is raised by the next :meth:`call`, or by :meth:`finish`; those after it may have
    run by then. As a context manager it finishes; what ended the work before its time is raised then, not
    what calls raise.

    Args:
        most: Calls that may wait; another one waits for the first of them.
        threads: In which they run.
        processes: In which they run instead, if any: functions, arguments and values are pickled. They begin
            to start at once.

    Raises:
        BrokenProcessPool: By ``call`` or ``finish``: a process was killed.
    """

    def __init__(self, most: int = 64, threads: int = 1, processes: int = 0):
        self.most, self.threads = most, threads
        self._waiting: deque[Future] = deque()
        self._pool: Executor | None = start_processes(processes, _step_back) if processes else None

    def call(self, function: Callable[..., _Value], *args: Any) -> 'Future[_Value]':
        """Have ``function(*args)`` called when there is a thread for it, and those before it have begun."""
        while self._waiting and (self._waiting[0].done() or len(self._waiting) >= self.most):
            self._waiting.popleft().result()
        self._pool = self._pool or ThreadPoolExecutor(self.threads, initializer=_step_back)
        self._waiting.append(self._pool.submit(function, *args))
        return self._waiting[-1]

    def finish(self) -> None:
        """Wait for all; whatever one raises, nothing runs any more afterwards."""
        try:
            while self._waiting:
                self._waiting.popleft().result()
        finally:
            self._waiting.clear()
            if self._pool is not None:
                self._pool.shutdown(cancel_futures=True)
                self._pool = None

    def __enter__(self) -> 'InTurn':
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with suppress(Exception) if kind is not None else nullcontext():
            self.finish()


def _step_back() -> None:
    """Let the caller go first where cores are fewer than threads; only Linux has priorities of threads."""
    if sys.platform == 'linux':
        nice = os.getpriority(os.PRIO_PROCESS, 0) + NICER
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)


def start_processes(
    number: int, initializer: Callable | None = None, initargs: tuple = ()
) -> ProcessPoolExecutor:
    """Fresh processes that share work, and begin to start at once.

    Ctrl-C is the caller's alone to answer: a terminal sends it to all. They end when the caller does, however
    it ends; those of a bare pool wait forever for one that was killed.

    Args:
        number: Of processes.
        initializer, initargs: Called in each first.
    """
    # spawned: a process that was forked after PyTorch has started its threads may hang
    context = multiprocessing.get_context('spawn')
    pool = ProcessPoolExecutor(number, context, initializer=_begin, initargs=(initializer, initargs))
    with handling(signal.SIGINT, signal.SIG_IGN):  # what is started meanwhile ignores it for good
        for _ in range(number):
            pool.submit(int)
    return pool


def _begin(initializer: Callable | None, initargs: tuple) -> None:
    end_with_parent()
    if initializer is not None:
        initializer(*initargs)


def end_with_parent() -> None:
    """End this process when the one that started it does."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def handling(number: signal.Signals, handler: Any) -> Iterator[None]:
    """Handle a signal in another way for a while, where Python lets us: in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


def ahead(
    function: Callable[[_Item], _Value], items: Iterable[_Item], number: int = 4
) -> Iterator[tuple[_Item, Callable[[], _Value]]]:
    """Call a function with items in a thread, while the caller works on those before.

    Args:
        function: Called with one item after the other.
        items: Taken from in the caller's thread.
        number: Of values that wait at most; whoever stops asking leaves as many items unused, and one call
            that may still be going on.

    Yields:
        Each item, and what gives its value or raises what ``function`` raised.
    """
    pool = ThreadPoolExecutor(1)
    waiting: deque[tuple[_Item, Future[_Value]]] = deque()
    taken_to_the_end = False
    try:
        for item in items:
            waiting.append((item, pool.submit(function, item)))
            if len(waiting) > number:
                done, value = waiting.popleft()
                yield done, value.result
        while waiting:
            done, value = waiting.popleft()
            yield done, value.result
        taken_to_the_end = True  # though values may not have been asked for yet
    finally:
        # Not waiting: the garbage collector may be what ends this, in the middle of some thread's start, and
        # the join of another would wait for that forever.
        pool.shutdown(wait=False, cancel_futures=not taken_to_the_end)
