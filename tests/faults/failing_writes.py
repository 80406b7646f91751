"""Lets the k-th call that writes below a folder fail, as a full, read-only or broken disk would."""

import builtins
import errno
import io
import os
from contextlib import contextmanager
from pathlib import Path

import pytest

#: What a call may raise; ``short`` writes half of the bytes first.
KINDS = {
    'ENOSPC': errno.ENOSPC,
    'EIO': errno.EIO,
    'EROFS': errno.EROFS,
    'ENOENT': errno.ENOENT,
    'short': errno.ENOSPC,
}


class FailingWrites:
    """Counts the calls that make, fill, sync, rename or link something below ``folder``; one of them fails.

    Args:
        folder: Calls elsewhere pass.
        at: Number of the call that fails, from 1; None to count only.
        kind: A key of :data:`KINDS`.
    """

    def __init__(self, folder: Path, at: int | None = None, kind: str = 'ENOSPC'):
        self.folder, self.at, self.kind = str(folder), at, kind
        self.calls = 0
        self.failed = ''

    def check(self, what: str, path, before=None) -> None:
        path = os.fspath(path) if not isinstance(path, int) else _name_of(path)
        if isinstance(path, bytes) or not str(path).startswith(self.folder):
            return
        self.calls += 1
        if self.calls == self.at:
            self.failed = f'{what} {path}'
            if before is not None and self.kind == 'short':
                before()
            raise OSError(KINDS[self.kind], os.strerror(KINDS[self.kind]), path)


def _name_of(descriptor: int) -> str:
    try:
        return os.readlink(f'/proc/self/fd/{descriptor}')
    except OSError:
        return ''


class _File:
    """A file whose every ``write`` may fail; the rest is the file's own."""

    def __init__(self, file, path, faults):
        self._file, self._path, self._faults = file, path, faults

    def write(self, data):
        half = memoryview(data).nbytes // 2 if not isinstance(data, str) else len(data) // 2

        def write_half():
            self._file.write(data[:half] if isinstance(data, str) else memoryview(data).cast('B')[:half])

        self._faults.check('write', self._path, write_half)
        return self._file.write(data)

    def __getattr__(self, name):
        return getattr(self._file, name)

    def __enter__(self):
        self._file.__enter__()
        return self

    def __exit__(self, *error):
        return self._file.__exit__(*error)

    def __iter__(self):
        return iter(self._file)


@contextmanager
def failing_writes(folder: Path, at: int | None = None, kind: str = 'ENOSPC'):
    """Within it, calls of ``os`` and ``open`` below ``folder`` go through a :class:`FailingWrites`."""
    faults = FailingWrites(folder, at, kind)
    real_open, real = builtins.open, {n: getattr(os, n) for n in ('open', 'fsync', 'mkdir', 'write')}

    def open_file(path, mode='r', *args, **kwargs):
        if not set(mode) & set('wax+') or isinstance(path, int):
            return real_open(path, mode, *args, **kwargs)
        faults.check('open', path)
        return _File(real_open(path, mode, *args, **kwargs), path, faults)

    def os_open(path, flags, *args, **kwargs):
        if flags & (os.O_CREAT | os.O_WRONLY | os.O_RDWR):
            faults.check('os.open', path)
        return real['open'](path, flags, *args, **kwargs)

    def one(name):
        def call(path, *args, **kwargs):
            faults.check(name, path)
            return real[name](path, *args, **kwargs)

        return call

    def two(name, function):
        def call(source, target, **kwargs):
            faults.check(name, target)
            return function(source, target, **kwargs)

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builtins, 'open', open_file)
        patch.setattr(io, 'open', open_file)
        patch.setattr(os, 'open', os_open)
        for name in ('fsync', 'mkdir', 'write'):
            patch.setattr(os, name, one(name))
        for name in ('replace', 'rename', 'link', 'symlink'):
            patch.setattr(os, name, two(name, getattr(os, name)))
        yield faults
