"""Work that goes on beside the main thread."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class InTurn:
    """Calls functions one after the other in a thread of its own, in the order in which they are given.

    What one of them raises is raised by the next :meth:`call`, or by :meth:`finish`; those after it may have
    run by then.

    Args:
        most: Calls that may wait; another one waits for the first of them.
    """

    def __init__(self, most: int = 64):
        self.most = most
        self._waiting: deque[Future] = deque()
        self._thread: ThreadPoolExecutor | None = None

    def call(self, function: Callable, *args: Any) -> None:
        """Have ``function(*args)`` called when all before it are done; its value is dropped."""
        while self._waiting and (self._waiting[0].done() or len(self._waiting) >= self.most):
            self._waiting.popleft().result()
        self._thread = self._thread or ThreadPoolExecutor(1)
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
