"""Runs a function in a process of its own and lets its k-th system call that writes below a folder fail.

A seccomp filter hands every system call that opens for writing, writes, cuts, syncs, renames, links, removes
or makes a folder to this process first, whoever makes it: Python, torch's C++ writer, OpenCV, a loading
process.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import select
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

#: What the k-th call fails with. ``short``: half of the bytes are written, there is no space for the others.
#: ``full`` and ``read-only`` go on from there, as such disks do; the others let the next call pass.
KINDS = {
    'ENOSPC': errno.ENOSPC,
    'EIO': errno.EIO,
    'EROFS': errno.EROFS,
    'ENOENT': errno.ENOENT,
    'short': errno.ENOSPC,
    'full': errno.ENOSPC,
    'read-only': errno.EROFS,
}
#: Seconds after which a process counts as hanging.
LIMIT = 120

# number on x86-64 → name, argument that is the path or the descriptor, argument that is the path's folder
_CALLS = {
    1: ('write', 0, None),
    18: ('pwrite64', 0, None),
    20: ('writev', 0, None),
    40: ('sendfile', 0, None),
    326: ('copy_file_range', 2, None),
    74: ('fsync', 0, None),
    75: ('fdatasync', 0, None),
    77: ('ftruncate', 0, None),
    285: ('fallocate', 0, None),
    2: ('open', 0, None),
    85: ('creat', 0, None),
    257: ('openat', 1, 0),
    76: ('truncate', 0, None),
    82: ('rename', 1, None),
    264: ('renameat', 3, 2),
    316: ('renameat2', 3, 2),
    86: ('link', 1, None),
    265: ('linkat', 3, 2),
    88: ('symlink', 1, None),
    266: ('symlinkat', 2, 1),
    83: ('mkdir', 0, None),
    258: ('mkdirat', 1, 0),
    87: ('unlink', 0, None),
    263: ('unlinkat', 1, 0),
    84: ('rmdir', 0, None),
}
_BY_DESCRIPTOR = {1, 18, 20, 40, 326, 74, 75, 77, 285}
_FLAGS = {2: 1, 257: 2}  # calls that count only where this argument says that they write
#: Calls that may do a part of what they are asked for.
CAN_BE_SHORT = {'write', 'pwrite64', 'writev'}
_NEEDS_NO_SPACE = {'rename', 'renameat', 'renameat2', 'unlink', 'unlinkat', 'rmdir', 'ftruncate', 'truncate'}

_LISTENER = 250  # the descriptor under which the process keeps the listener until this one has fetched it
_NOT_SUPPORTED = 97
_RECEIVE, _SEND, _GO_ON = 0xC0502100, 0xC0182101, 1
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass
class Outcome:
    """What became of a function in a process of its own.

    Attributes:
        code: Its exit code; minus the signal that ended it.
        out: Its standard output.
        err: Its standard error.
        calls: Names and paths of the calls below the folder, in turn.
        failed: Name and path of the call that failed; None where it never came to it.
        touched: Every path on the machine that was opened for writing, made, renamed to or removed.
        hung: Whether it had to be ended after :data:`LIMIT` seconds.
    """

    code: int = 0
    out: str = ''
    err: str = ''
    calls: list[tuple[str, str]] = field(default_factory=list)
    failed: tuple[str, str] | None = None
    touched: set[str] = field(default_factory=set)
    hung: bool = False


def supervised(
    function: Callable[[], int | None], folder: Path, at: int | None = None, kind: str = 'ENOSPC'
) -> Outcome:
    """Call a function in a fork of this process.

    Args:
        function: What it returns is the exit code; what it raises is printed with its traceback, code 1.
        folder: Calls on paths elsewhere never fail.
        at: Number of the call that fails, from 1; None for none.
        kind: A key of :data:`KINDS`.
    """
    if sys.platform != 'linux' or platform.machine() != 'x86_64' or not hasattr(os, 'pidfd_open'):
        pytest.skip('needs seccomp on x86-64 Linux')
    outcome = Outcome()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        pid = os.fork()
        if pid == 0:
            _run(function, out.fileno(), err.fileno())
        process = os.pidfd_open(pid)
        try:
            listener = _fetch_listener(process)
            if listener is not None:
                _Supervisor(listener, process, os.path.realpath(folder), at, kind, outcome).serve()
        finally:
            _kill_group(pid)
            os.close(process)
        outcome.code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if outcome.code == _NOT_SUPPORTED:
            pytest.skip('the kernel lets no process supervise the system calls of another')
        for stream, name in ((out, 'out'), (err, 'err')):
            stream.seek(0)
            setattr(outcome, name, stream.read().decode(errors='replace'))
    return outcome


def _kill_group(pid: int) -> None:
    """End what a process has left behind, and, where it is stuck, itself."""
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _run(function: Callable[[], int | None], out: int, err: int) -> None:
    code = 1
    try:
        os.setsid()
        _libc.prctl(1, signal.SIGKILL)  # or it would wait for ever for an answer, were this process killed
        os.dup2(out, 1)
        os.dup2(err, 2)
        sys.stdout = os.fdopen(1, 'w', encoding='utf-8', closefd=False)
        sys.stderr = os.fdopen(2, 'w', encoding='utf-8', closefd=False)
        os.dup2(_install_filter(), _LISTENER)
        code = function() or 0
    except SystemExit as e:
        code = e.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _install_filter() -> int:
    load, equal, any_bit, answer = 0x20, 0x15, 0x45, 0x06
    allow, notify = 0x7FFF0000, 0x7FC00000
    writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
    code = [(load, 0, 0, 0)]
    for number in _CALLS:
        if number in _FLAGS:
            code += [(equal, 0, 4, number), (load, 0, 0, 16 + 8 * _FLAGS[number]), (any_bit, 0, 1, writes)]
            code += [(answer, 0, 0, notify), (answer, 0, 0, allow)]
        else:
            code += [(equal, 0, 1, number), (answer, 0, 0, notify)]
    code.append((answer, 0, 0, allow))
    program = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *c) for c in code))
    head = ctypes.create_string_buffer(struct.pack('HxxxxxxQ', len(code), ctypes.addressof(program)))
    _libc.prctl(38, 1, 0, 0, 0)  # no new privileges
    listener = _libc.syscall(317, 1, 8, head)
    if listener < 0:
        os._exit(_NOT_SUPPORTED)
    return listener


def _fetch_listener(process: int) -> int | None:
    while not select.select([process], [], [], 0.001)[0]:
        if (listener := _take(process, _LISTENER)) >= 0:
            return listener
    return None


def _take(process: int, descriptor: int) -> int:
    """A process's descriptor as one of ours, -1 where it has none of that number."""
    return _libc.syscall(438, process, descriptor, 0)


class _Supervisor:
    def __init__(self, listener, process, folder, at, kind, outcome):
        self.listener, self.process, self.folder, self.at = listener, process, folder, at
        self.kind, self.outcome, self.cut = kind, outcome, None

    def serve(self) -> None:
        """Answer every call until the process has ended."""
        end = time.monotonic() + LIMIT
        while True:
            ready = select.select([self.listener, self.process], [], [], max(0, end - time.monotonic()))[0]
            if not ready or self.process in ready:
                self.outcome.hung = not ready
                break
            self._answer_next()
        os.close(self.listener)

    def _answer_next(self) -> None:
        notice = bytearray(80)
        try:
            fcntl.ioctl(self.listener, _RECEIVE, notice)
            number, task, _, call, _, _, *args = struct.unpack('QIIiIQ6Q', notice)
            value, error = self._decide(task, call, args)
            flags = _GO_ON if error == 0 and value is None else 0
            fcntl.ioctl(self.listener, _SEND, struct.pack('QqiI', number, value or 0, -error, flags))
        except OSError as e:
            if e.errno not in (errno.ENOENT, errno.ESRCH, errno.EINTR):  # ended, or interrupted, meanwhile
                raise

    def _decide(self, task: int, number: int, args: list[int]) -> tuple[int | None, int]:
        """What a call returns, None for what it would, and its error number, 0 for none."""
        name = _CALLS[number][0]
        path = self._path(task, number, args)
        if number not in _BY_DESCRIPTOR:
            self.outcome.touched.add(path)
        if path != self.folder and not path.startswith(f'{self.folder}/'):
            return None, 0
        self.outcome.calls.append((name, path))
        failing = KINDS[self.kind]
        if len(self.outcome.calls) == self.at:
            self.outcome.failed = name, path
            if self.kind == 'short' and name in CAN_BE_SHORT and (done := _write_half(task, name, args)):
                self.cut = path
                return done, 0
            return None, failing
        if self.cut == path and name in CAN_BE_SHORT:
            self.cut = None
            return None, failing
        if self.outcome.failed and (
            self.kind == 'read-only' or (self.kind == 'full' and name not in _NEEDS_NO_SPACE)
        ):
            return None, failing
        return None, 0

    def _path(self, task: int, number: int, args: list[int]) -> str:
        _, place, base = _CALLS[number]
        try:
            if number in _BY_DESCRIPTOR:
                return os.readlink(f'/proc/{task}/fd/{ctypes.c_int(args[place]).value}').removesuffix(
                    ' (deleted)'
                )
            at = -100 if base is None else ctypes.c_int(args[base]).value
            folder = os.readlink(f'/proc/{task}/cwd' if at == -100 else f'/proc/{task}/fd/{at}')
        except OSError:
            return ''
        return os.path.normpath(os.path.join(folder, os.fsdecode(_text(task, args[place]))))


def _memory(task: int, address: int, size: int) -> bytes:
    memory = os.open(f'/proc/{task}/mem', os.O_RDONLY)
    try:
        return os.pread(memory, size, address)
    finally:
        os.close(memory)


def _text(task: int, address: int) -> bytes:
    found = b''
    while b'\0' not in found and len(found) < 4096:
        at = address + len(found)
        found += _memory(task, at, 4096 - at % 4096)
    return found.partition(b'\0')[0]


def _write_half(task: int, name: str, args: list[int]) -> int:
    """Write the first half of what a call would write, in its stead; returns the number of bytes."""
    if name == 'writev':
        vector = struct.iter_unpack('QQ', _memory(task, args[1], 16 * args[2]))
        data = b''.join(_memory(task, address, size) for address, size in vector if size)
    else:
        data = _memory(task, args[1], args[2])
    half = data[: len(data) // 2]
    group = int(Path(f'/proc/{task}/status').read_text().partition('Tgid:')[2].split()[0])
    process = os.pidfd_open(group)
    file = _take(process, args[0])
    try:
        return os.pwrite(file, half, args[3]) if name == 'pwrite64' else os.write(file, half)
    finally:
        os.close(file)
        os.close(process)
