"""Work that goes on beside the main thread."""

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

#: By how much the threads of :class:`InTurn` are nicer than the caller, who is waited for.
NICER = 5

_Item = TypeVar('_Item')
_Value = TypeVar('_Value')


class InTurn:
    """Calls functions beside the caller, in the order in which they are given: in one thread, one after the
    other; in several, so many at once.

    What one of them raises is raised by the next :meth:`call`, or by :meth:`finish`; those after it may have
    run by then.

    Args:
        most: Calls that may wait; another one waits for the first of them.
        threads: In which they run.
    """

    def __init__(self, most: int = 64, threads: int = 1):
        self.most, self.threads = most, threads
        self._waiting: deque[Future] = deque()
        self._thread: ThreadPoolExecutor | None = None

    def call(self, function: Callable, *args: Any) -> None:
        """Have ``function(*args)`` called when a thread has done those before it; its value is dropped."""
        while self._waiting and (self._waiting[0].done() or len(self._waiting) >= self.most):
            self._waiting.popleft().result()
        self._thread = self._thread or ThreadPoolExecutor(self.threads, initializer=_step_back)
        self._waiting.append(self._thread.submit(function, *args))

    def finish(self) -> None:
        """Wait for all; whatever one raises, nothing runs any more afterwards."""
        try:
            while self._waiting:
                self._waiting.popleft().result()
        finally:
            self._waiting.clear()
            if self._thread is not None:
                self._thread.shutdown(cancel_futures=True)
                self._thread = None


def _step_back() -> None:
    """Let the caller go first where cores are fewer than threads; only Linux has priorities of threads."""
    if sys.platform == 'linux':
        nice = os.getpriority(os.PRIO_PROCESS, 0) + NICER
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)


def ahead(
    function: Callable[[_Item], _Value], items: Iterable[_Item], number: int = 4
) -> Iterator[tuple[_Item, Callable[[], _Value]]]:
    """Call a function with items in a thread, while the caller works on those before.

    Args:
        function: Called with one item after the other.
        items: Taken from in the caller's thread.
        number: So many values wait at most; whoever stops asking leaves so many items unused.

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
        pool.shutdown(cancel_futures=not taken_to_the_end)
