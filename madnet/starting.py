"""The first moments of a tool: when it began, and Ctrl-C while it imports, where that is a long traceback."""

import os
import signal
import time

#: When this was imported, which is what tools do first; of ``time.monotonic()``.
BEGAN = time.monotonic()


def end_on_interrupt() -> None:
    """Let Ctrl-C end the process with one word and code 130, until :func:`allow_interrupts`."""
    signal.signal(signal.SIGINT, _end)


def allow_interrupts() -> None:
    """Let Ctrl-C be a ``KeyboardInterrupt`` again, if :func:`end_on_interrupt` was called."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number, frame) -> None:
    os.write(2, b'interrupted\n')
    os._exit(130)
