"""What a process of its own does: ``python -m madnet.experiments.worker RUN``, RUN as JSON."""

import os
import signal
import sys
import threading

from madnet.engine.cli import run_tool
from madnet.experiments.background import let_the_session_yield
from madnet.experiments.run import Run
from madnet.experiments.running import do_run


def _stop_with_the_parent() -> None:
    """Ask this process to save and stop when the other end of standard input closes."""
    # not sys.stdin: a thread that waits in it makes the interpreter abort at its end
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> int:
    """Do the run; returns the exit code."""
    let_the_session_yield()
    threading.Thread(target=_stop_with_the_parent, daemon=True).start()
    return run_tool(do_run, Run.from_json(sys.argv[1]))


if __name__ == '__main__':
    sys.exit(main())
