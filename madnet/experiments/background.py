"""A command that runs on beside other work: ``python -m madnet.experiments.background FOLDER SCRIPT …``."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

from madnet.engine.cli import run_tool
from madnet.engine.folder_lock import own_folder
from madnet.files import not_following
from madnet.starting import module_command

LOG = 'background.log'

_THREADS = ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS')


def start(folder: str | os.PathLike) -> int:
    """Start this process's own command once more, without ``--background``, in a session of its own.

    It outlives the terminal, has one thread, and yields to every other process.

    Args:
        folder: One such command a folder; its output is appended to ``background.log`` there.

    Returns:
        The number of the process.

    Raises:
        UserError: One runs there already; names the process.
    """
    with own_folder(folder):
        pass  # what stands in the way is said here rather than in the log
    # which argparse takes shortened too
    arguments = [a for a in sys.argv if not (len(a) > 2 and '--background'.startswith(a))]
    with open(Path(folder, LOG), 'a', encoding='utf-8', opener=not_following) as log:
        process = subprocess.Popen(
            module_command(__name__, str(folder), *arguments),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**dict.fromkeys(_THREADS, '1'), **os.environ},
            start_new_session=True,
        )
    print(f'process {process.pid} goes on in the background; its output: {Path(folder, LOG)}')
    print(f'stop it (all is saved, the same command goes on): kill {process.pid}')
    return process.pid


def yield_to_others() -> None:
    """Give this process, and what it starts, processor time only where no other process wants it."""
    if hasattr(os, 'SCHED_IDLE'):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    if hasattr(os, 'nice'):
        os.nice(19)
    let_the_session_yield()


def let_the_session_yield() -> None:
    """Let all processes of this session yield too, where this process does.

    Linux shares time between sessions first, and only then between the processes of one: a session of its own
    gives a process that yields as much as any other has.
    """
    group = Path('/proc/self/autogroup')
    if group.exists() and os.sched_getscheduler(0) == os.SCHED_IDLE:
        try:
            group.write_text('19')
        except OSError as e:  # the kernel limits how often an ordinary user may
            print(f'{group}: priority not lowered ({e.strerror})', file=sys.stderr)


def main() -> int:
    """Run the script; returns the exit code."""
    folder, script, *arguments = sys.argv[1:]
    sys.argv = [script, *arguments]
    yield_to_others()
    return run_tool(_run, folder, script)


def _run(folder: str, script: str) -> None:
    with own_folder(folder):
        runpy.run_path(script, run_name='__main__')


if __name__ == '__main__':
    sys.exit(main())
