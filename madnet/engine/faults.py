"""What a machine does to a run, as one line: disks, permissions, memory, killed processes."""

import errno
import os
import re
import signal
import sys
import traceback

from madnet.errors import RunFailed, UserError
from madnet.files import what_to_do

#: What to do where /dev/shm is too small.
GIVE_MORE = (
    'give it more (docker run --shm-size=8g), or load without processes (--cfg-options '
    'train_dataloader.num_workers=0 val_dataloader.num_workers=0)'
)
#: The last line of the traceback that a loading process sends.
_FROM_WORKER = re.compile(r"\[Errno (\d+)\] ([^:]+)(?:: (['\"])(.*)\3)?\s*$")
_DEAD_WORKER = re.compile(
    r'DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) (?:is killed by signal: ([\w ]+)|exited unexpectedly)'
)
_DEAD_RANK = re.compile(
    r'Connection (?:closed|reset) by peer|Broken pipe|Timed out waiting \d+ms|Socket closed|NCCL|gloo'
)


def translate(error: BaseException) -> UserError | RunFailed | None:
    """An error of the machine as one of ours, with one line; None for any other, which is a bug's."""
    if isinstance(error, (EOFError, OSError)):
        return _between_processes(error) or _of_the_system(error)
    if isinstance(error, MemoryError):
        return RunFailed('out of memory. Use smaller images or batches, or fewer processes.')
    text = str(error)
    if type(error).__name__ == 'OutOfMemoryError':  # torch's
        return RunFailed(
            'the GPU is out of memory. What needs less: smaller batches (--cfg-options '
            'train_dataloader.batch_size=4), --amp, device_cache=False; in prediction --tile.'
        )
    if not isinstance(error, RuntimeError):
        return None
    if 'CUDA error' in text:
        return RunFailed(
            f'the GPU has failed ({text.splitlines()[0]}). Go on with --resume; a training that fails again '
            'goes the plain way by --cfg-options capture_step=False device_cache=False.'
        )
    if dead := _DEAD_WORKER.search(text):
        return _killed_worker(*dead.groups())
    torch = sys.modules.get('torch')  # light commands do without
    if torch and torch.distributed.is_initialized() and _DEAD_RANK.search(text):
        return RunFailed(
            f'another process of this training has ended or is cut off ({text.splitlines()[0][-90:]}). '
            'See what became of it (killed for memory?), then go on with --resume.'
        )
    return None


def _between_processes(error: OSError | EOFError) -> UserError | RunFailed | None:
    """An error that came up where loading processes are started, or a batch is taken over from one."""
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    loading = any(name.endswith('torch/utils/data/dataloader.py') for name in files)
    if not loading or not any(os.path.basename(os.path.dirname(name)) == 'multiprocessing' for name in files):
        return None
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return UserError(f'loading processes cannot be started: /dev/shm is full: {GIVE_MORE}.')
    if isinstance(error, (EOFError, ConnectionError, FileNotFoundError)):
        return _killed_worker('', None)
    return None


def _of_the_system(error: OSError | EOFError) -> UserError | None:
    if isinstance(error, EOFError):
        return None
    number, reason, path = error.errno, error.strerror, error.filename
    if number is None and (found := _FROM_WORKER.search(str(error))):
        number, reason, path = int(found[1]), found[2], found[4]
    if number is None:
        return None
    if path is None:
        path = 'a file'
    return UserError(f'{os.fsdecode(path)}: {reason}. {what_to_do(number)}')


def _killed_worker(pids: str, by: str | None) -> UserError | RunFailed:
    if by == 'Bus error':
        return UserError(
            f'the loading process {pids} was ended by a bus error: /dev/shm is full: {GIVE_MORE}.'
        )
    who = f'the loading process {pids}' if pids else 'a loading process'
    how = f'was killed ({by})' if by else 'has ended'
    likely = ', most likely for lack of memory' if by in (None, signal.strsignal(signal.SIGKILL)) else ''
    return RunFailed(
        f'{who} {how}{likely}. Go on with --resume; fewer loading processes need less '
        'memory (--cfg-options train_dataloader.num_workers=1).'
    )
