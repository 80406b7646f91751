"""Files that are written whole or not at all, and JSON that is read with one line for what is wrong."""

import errno
import hashlib
import json
import math
import os
import secrets
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from madnet.errors import UserError
from madnet.text import encodable

#: In a folder for predictions: says which folders in it hold nothing else, one a line.
OWN = '.madnet'

_SPACE = 'Free some space, then run it again; a training goes on with --resume.'
_PERMISSION = 'See who owns it, and its mode.'
_ADVICE = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EFBIG: _SPACE,
    errno.EROFS: 'Give another folder (--work-dir, --out).',
    errno.EACCES: _PERMISSION,
    errno.EPERM: _PERMISSION,
    errno.ENOENT: 'It is missing, or was removed or moved while the run went on.',
    errno.ENOTDIR: 'A part of the path is a file.',
    errno.ELOOP: 'It is a symbolic link, through which nothing is written; remove it.',
    errno.EMFILE: 'Raise the limit (ulimit -n), or use fewer loading processes.',
    errno.ENFILE: 'Use fewer loading processes.',
    errno.EIO: 'See to the disk, then run it again; a training goes on with --resume.',
    errno.ESTALE: 'Mount the network share again, then run it again; a training goes on with --resume.',
    errno.ENOMEM: 'Use smaller batches or fewer loading processes.',
}


class CannotWrite(UserError):
    """A file cannot be written."""


def what_to_do(number: int | None) -> str:
    """Advice on an ``OSError``'s ``errno``; empty where there is none."""
    return '' if number is None else _ADVICE.get(number, '')


@contextmanager
def replacing(
    path: str | os.PathLike, keep_as: str | os.PathLike | None = None, settled: bool = True
) -> Iterator[Path]:
    """Write a file beside its name, and let it take the name over once it is whole and on disk.

    A process killed at any moment leaves either the old file or the new one under ``path``. An exception
    inside of the ``with`` block leaves the old file, and nothing beside it. A symbolic link under ``path`` is
    replaced, not followed, and the temporary file is never one that was there before.

    Args:
        path: The name to take over; its folder is made where it is missing.
        keep_as: Name in the same folder under which the file that ``path`` names so far is kept. What this
            name held before is given up only when the new file is on disk.
        settled: Whether the name is on disk as well; False for one of many files, after all of which
            :func:`settle` follows: should power fail before, ``path`` may be the old file, or none.

    Yields:
        The path to write to, an empty file in the same folder with the same suffix.

    Raises:
        CannotWrite: The folder cannot be made, the file cannot be written, or ``path`` is a folder or a
            device.
    """
    path = Path(path)
    # short whatever the name is, and with its suffix, by which savefig and others choose the format
    temporary = path.with_name(f'.writing-{secrets.token_hex(6)}{path.suffix}')
    made = False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _expect_no_other(path)
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        made = True
        yield temporary
        _sync(temporary, os.O_RDWR)
        if keep_as is not None and path.exists():
            _keep(path, Path(keep_as))
        os.replace(temporary, path)
        made = False
        if settled:
            settle(path.parent)
    except OSError as e:
        raise _cannot_write(path, e) from None
    except RuntimeError as e:
        if 'inline_container' not in str(e):  # what torch.save says of whatever goes wrong with its file
            raise
        raise CannotWrite(f'{path}: cannot be written (most likely no space is left). {_SPACE}') from None
    finally:
        if made:
            with suppress(OSError):
                temporary.unlink()


def expect_writable(*paths: str | os.PathLike) -> None:
    """Refuse files that cannot be written, before the work whose results they are to hold; nothing is left
    behind, neither files nor folders.

    Raises:
        CannotWrite: The nearest folder above takes no new file, or a path is a folder or a device.
    """
    for path in map(Path, paths):
        try:
            _expect_no_other(path)
            above = next(folder for folder in path.absolute().parents if os.path.lexists(folder))
            tempfile.TemporaryFile(dir=above).close()
        except OSError as e:
            raise _cannot_write(path, e) from None


def _expect_no_other(path: Path) -> None:
    if path.exists() and not path.is_file():
        raise CannotWrite(f'{path}: found {_kind(path)}, expected a file or nothing.')


def _cannot_write(path: Path, e: OSError) -> CannotWrite:
    return CannotWrite(f'{path}: cannot be written ({e.strerror or e}). {what_to_do(e.errno)}')


def settle(folder: str | os.PathLike) -> None:
    """See that the names in a folder are on disk."""
    with suppress(OSError):  # folders cannot be opened everywhere
        _sync(Path(folder), os.O_RDONLY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _keep(path: Path, keep_as: Path) -> None:
    link = keep_as.with_name(f'.writing-{secrets.token_hex(6)}{keep_as.suffix}')
    try:
        os.link(path, link)
    except OSError:
        # a file system without hard links: for a moment only the older name exists, still whole
        os.replace(path, keep_as)
        return
    try:
        os.replace(link, keep_as)
    finally:
        # there still after a failure, and where both names are links to one file, which rename leaves alone
        with suppress(OSError):
            link.unlink()


def _kind(path: Path) -> str:
    return 'a folder' if path.is_dir() else 'a device, pipe or socket'


def sha256_of(path: str | os.PathLike) -> str:
    """The SHA-256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def newest(files: Iterable[str | os.PathLike]) -> Path | None:
    """The file that was modified last, of several at one time the first; None of files that are not there."""
    found = [(os.stat(file).st_mtime_ns, Path(file)) for file in files if os.path.exists(file)]
    return max(found, key=lambda each: each[0])[1] if found else None


def not_following(path: str, flags: int) -> int:
    """An ``opener`` of :func:`open` for files that grow, such as logs: it refuses a symbolic link, which
    somebody may have planted to have another file overwritten."""
    return os.open(path, flags | getattr(os, 'O_NOFOLLOW', 0), 0o666)


def cache_folder(what: str) -> Path:
    """Where files that can be had again are kept: ``~/.cache/madnet/<what>`` (``$XDG_CACHE_HOME``)."""
    return Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'madnet' / what


def remove_leftovers(folder: str | os.PathLike) -> None:
    """Remove what killed processes left unfinished in a folder that nobody else writes to."""
    for path in Path(folder).glob('.writing-*'):
        path.unlink(missing_ok=True)


def write_whole(path: str | os.PathLike, data: bytes | str, settled: bool = True) -> Path:
    """Write bytes, or text as UTF-8, whole or not at all; see :func:`replacing`, also for ``settled``.

    What UTF-8 cannot hold is escaped, see :func:`~madnet.text.encodable`.

    Returns:
        The path.

    Raises:
        UserError: It cannot be written.
    """
    with replacing(path, settled=settled) as temporary:
        temporary.write_bytes(encodable(data).encode() if isinstance(data, str) else data)
    return Path(path)


def write_json(path: str | os.PathLike, content: Any, indent: int = 2) -> Path:
    """Write strict JSON, whole or not at all; see :func:`json_text`.

    Returns:
        The path.

    Raises:
        UserError: It cannot be written.
    """
    return write_whole(path, json_text(content, indent))


def json_text(content: Any, indent: int | None = 2) -> str:
    """A value as strict JSON with a newline at its end; see :func:`plain`."""
    return json.dumps(plain(content), indent=indent, ensure_ascii=False, allow_nan=False) + '\n'


def plain(value: Any) -> Any:
    """A value as JSON has it.

    Dataclasses and mappings become dicts, tuples and arrays lists, NumPy's numbers Python's; texts as
    :func:`~madnet.text.encodable`. NaN and infinity, which JSON has no word for, become None.
    """
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {encodable(str(k)): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if hasattr(value, 'tolist'):
        return plain(value.tolist())
    if isinstance(value, str):
        return encodable(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def expect_new(*paths: str | os.PathLike, force: bool) -> None:
    """Refuse to replace files that somebody may want to keep, unless by ``force``; and files that cannot be
    written, as :func:`expect_writable`.

    Raises:
        UserError: One is there, or cannot be written.
    """
    for path in map(Path, paths):
        if not force and os.path.lexists(path) and not path.is_dir():  # folders are never replaced
            raise UserError(f'{path}: is there already; --force replaces it.')
    expect_writable(*paths)


def names_below(folder: str | os.PathLike, nested: bool = True) -> Iterator[str]:
    """Names of the files in a folder and, with ``nested``, below it, from there and with ``/``; hidden ones
    are left out.

    Links to folders are followed where they lead out of the folder, each once: no file comes by two names.
    """
    top = Path(folder).resolve()
    linked: list[Path] = []
    for where, folders, names in os.walk(str(folder), followlinks=True):
        below = sorted(f for f in folders if nested and not f.startswith('.'))
        folders[:] = (f for f in below if not _was_passed(Path(where, f), top, linked))
        before = Path(where).relative_to(folder).as_posix() + '/'
        yield from (before.removeprefix('./') + name for name in sorted(names) if not name.startswith('.'))


def _was_passed(folder: Path, top: Path, linked: list[Path]) -> bool:
    """Whether a sub-folder is a link to what is walked through anyway, from ``top`` or by an earlier link."""
    if not folder.is_symlink():
        return False
    target = folder.resolve()
    passed = any(target.is_relative_to(p) or p.is_relative_to(target) for p in (top, *linked))
    if not passed:
        linked.append(target)
    return passed


def expect_file(path: str | os.PathLike) -> None:
    """Refuse what may have no end.

    Raises:
        OSError: The path names a device, a pipe or a socket.
    """
    path = Path(path)
    if path.exists() and not path.is_file() and not path.is_dir():
        raise OSError(errno.EINVAL, f'{_kind(path)}, expected a file', str(path))


def read_text(path: str | os.PathLike, encoding: str = 'utf-8') -> str:
    """The text of a file.

    Raises:
        OSError: It cannot be read, or is a device, a pipe or a socket.
        UnicodeDecodeError: It is no text.
    """
    expect_file(path)
    return Path(path).read_text(encoding)


def _keys_once(pairs: list[tuple[str, Any]]) -> dict:
    content = dict(pairs)
    if len(content) < len(pairs):  # the last would win without a word
        twice = next(key for key in content if sum(key == other for other, _ in pairs) > 1)
        raise ValueError(f'{twice!r} twice in one object')
    return content


def read_json(path: str | os.PathLike) -> Any:
    """The content of a JSON file.

    Raises:
        UserError: No such file, not readable, no JSON, or a key twice in one object.
    """
    try:
        return json.loads(read_text(path), object_pairs_hook=_keys_once)
    except OSError as e:
        raise UserError(f'{path}: cannot be read ({e.strerror or e}).') from None
    except (ValueError, RecursionError) as e:
        raise UserError(f'{path}: not readable as JSON ({e}).') from None


def own_folders(path: Path) -> set[str]:
    """The folders in one for predictions that hold nothing else, by its list; empty where it has none."""
    with suppress(OSError, UnicodeDecodeError):
        return set(read_text(path / OWN).split())
    return set()
