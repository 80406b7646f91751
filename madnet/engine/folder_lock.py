"""One training, or one test, a folder."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import get_ident

from madnet.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK = '.lock'

#: Descriptor → the folder, and the thread that has it.
_held: dict[int, tuple[Path, int]] = {}


class FolderInUse(UserError):
    """Another process works in a folder."""


def _leave_to_parent() -> None:
    # A forked loading process would hold the lock for seconds after its training was killed.
    while _held:
        os.close(_held.popitem()[0])


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=_leave_to_parent)


@contextmanager
def own_folder(folder: str | os.PathLike) -> Iterator[bool]:
    """Keep every other process out of a folder as long as this one is in the ``with`` block; what has the
    folder may take it once more.

    The lock is ``flock``'s on a file in the folder: the system releases it however the process ends, and the
    file stays. Its content says who holds it. Where the file system has no locks (some NFS mounts), the
    work goes on without one and says so.

    Args:
        folder: Made if it is missing.

    Yields:
        Whether what calls had it before.

    Raises:
        FolderInUse: Another process has it; names the process.
    """
    taken = Path(folder).resolve(), get_ident()
    if fcntl is None or taken in _held.values():
        yield fcntl is not None
        return
    Path(folder).mkdir(parents=True, exist_ok=True)
    descriptor = os.open(Path(folder, LOCK), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    _held[descriptor] = taken
    try:
        _lock(descriptor, folder)
        yield False
    finally:
        _held.pop(descriptor, None)
        os.close(descriptor)


def _lock(descriptor: int, folder: str | os.PathLike) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 300).decode(errors='replace').strip() or 'of which nothing is known'
        raise FolderInUse(
            f'{folder}: is in use by process {holder}. Wait until it ends, stop it, or give another folder.'
        ) from None
    except OSError as e:
        print(
            f'{folder}: cannot be locked ({e.strerror}): see to it that no other command writes there.',
            file=sys.stderr,
        )
        return
    try:
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, f'{os.getpid()} on {socket.gethostname()}\n'.encode(), 0)
    except OSError as e:
        raise OSError(e.errno, e.strerror, os.path.join(folder, LOCK)) from None
