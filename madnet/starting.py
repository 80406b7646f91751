"""The first moments of a tool: when it began, and Ctrl-C while it imports, where that is a long traceback.

And the command of a process of its own.
"""

import os
import signal
import sys
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


def module_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module as ``python -m`` does, but imports from where this process does.

    ``-m`` would look in the current folder first, where a file of the user's may have the name of a library.
    """
    where = [str(place) for place in sys.path]
    code = (
        f'import sys; sys.path[:] = {where!r}; import runpy; '
        f'runpy.run_module({module!r}, run_name="__main__", alter_sys=True)'
    )
    return [sys.executable, '-c', code, *arguments]


def _end(number, frame) -> None:
    os.write(2, b'interrupted\n')
    os._exit(130)
