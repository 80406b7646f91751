"""Archives, unpacked into one folder and nowhere else."""

import errno
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO

from madnet.errors import UserError
from madnet.progress import progress_bar

#: An archive may grow this many times when it is unpacked (blank masks in BMP shrink a lot), and any archive
#: to ``FREE`` bytes.
RATIO, FREE = 200, 1 << 28
MAX_FILES = 2_000_000
_BLOCK = 1 << 20
_DEPTH = 4  # levels of folders below the first that are searched
#: What an archive's own names and offsets can lead to; any other error that has a number is the system's.
_OF_THE_ARCHIVE = {None, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL}
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError, RuntimeError, ValueError)
_OTHERS = {b'Rar!': 'RAR', b"7z\xbc\xaf'": '7-Zip'}


class _Limit:
    """Counts what is unpacked, and refuses what is too much; ``limit`` is bytes in all."""

    def __init__(self, archive: Path, limit: int):
        self.archive = archive
        self.allowed = min(limit, max(RATIO * archive.stat().st_size, FREE))
        self.bytes = self.files = 0
        self.names: set[str] = set()

    def begin(self, name: str, size: int) -> None:
        self.files += 1
        key = name.casefold()
        if key in self.names:
            raise UserError(f'{self.archive}: holds {name!r} twice; an archive of a data set does not.')
        self.names.add(key)
        self.check(size)

    def check(self, size: int) -> None:
        if self.bytes + size > self.allowed or self.files > MAX_FILES:
            raise UserError(
                f'{self.archive}: would unpack to more than {self.allowed / 2**20:,.0f} MiB or {MAX_FILES:,} '
                'files, which is no data set of this size; unpack it yourself and give the folder, or raise '
                '--limit-gb.'
            )

    def add(self, size: int) -> None:
        self.check(size)
        self.bytes += size


def unpack(archive: Path, folder: Path, limit: int = 64 << 30) -> None:
    """Unpack a zip or tar file (gz, bz2, xz) into an empty folder, at most ``limit`` bytes of it.

    Raises:
        UserError: Neither, damaged, encrypted, too large, or it holds links, devices, names outside of the
            folder, or a name twice.
    """
    bound = _Limit(archive, limit)
    try:
        if zipfile.is_zipfile(archive):
            _unzip(archive, folder, bound)
        elif tarfile.is_tarfile(archive):
            _untar(archive, folder, bound)
        else:
            raise UserError(
                f'{archive}: {_kind(archive)}; expected a folder, a zip or a tar file (gz, bz2, xz).'
            )
    except _DAMAGED as error:
        if isinstance(error, OSError) and error.errno not in _OF_THE_ARCHIVE:
            raise OSError(error.errno, error.strerror, str(folder)) from None
        raise UserError(f'{archive}: a damaged archive ({error or type(error).__name__}).') from None


def _kind(archive: Path) -> str:
    with archive.open('rb') as file:
        head = file.read(512)
    for magic, name in _OTHERS.items():
        if head.startswith(magic):
            return f'a {name} archive, which only its own program unpacks'
    if head.lstrip().lower().startswith((b'<!doctype', b'<html')):
        return 'a web page (a link that is dead, or wants you to log in)'
    return f'no archive ({archive.stat().st_size} bytes)'


def _place(archive: Path, folder: Path, name: str) -> Path:
    """Where a member goes; refuses what would be outside."""
    path = PurePosixPath(name)
    bad = path.is_absolute() or '..' in path.parts or '\\' in name or ':' in name or '\0' in name
    if bad:
        raise UserError(f'{archive}: holds {name!r}, which would be written outside of the folder.')
    return folder.joinpath(*path.parts)


def _copy(source: IO[bytes], target: Path, bound: _Limit) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open('xb') as file:
        while block := source.read(_BLOCK):
            bound.add(len(block))
            file.write(block)


def _unzip(archive: Path, folder: Path, bound: _Limit) -> None:
    with zipfile.ZipFile(archive) as opened:
        for member in progress_bar(opened.infolist(), what='unpack', unit='file'):
            target = _place(archive, folder, member.filename)
            mode = member.external_attr >> 16
            if stat.S_ISLNK(mode) or (stat.S_IFMT(mode) and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))):
                _refuse_link(archive, member.filename)
            if member.flag_bits & 1:
                raise UserError(f'{archive}: is encrypted; unpack it yourself and give the folder.')
            if member.is_dir():
                continue
            bound.begin(member.filename, member.file_size)
            with opened.open(member) as source:
                _copy(source, target, bound)


def _untar(archive: Path, folder: Path, bound: _Limit) -> None:
    # as a stream: the headers of a bomb are not to be read to their end before anything is counted
    with tarfile.open(archive, 'r|*') as opened:
        for member in progress_bar(opened, what='unpack', unit='file'):
            target = _place(archive, folder, member.name)
            if member.isdir():
                continue
            if not member.isreg() or member.issparse():
                _refuse_link(archive, member.name)
            bound.begin(member.name, member.size)
            content = opened.extractfile(member)
            assert content is not None  # it is a file
            _copy(content, target, bound)


def _refuse_link(archive: Path, name: str) -> None:
    raise UserError(
        f'{archive}: {name!r} is a link or no plain file; an archive of a data set holds files only.'
    )


def find_root(folder: Path, fits: Callable[[Path], bool]) -> list[Path]:
    """The folders at the least depth, of four at most, that hold a data set.

    Args:
        folder: Searched from here; a lone sub-folder, as archives have, is stepped into first.
        fits: Whether a folder holds one.
    """
    level = [folder]
    for _ in range(_DEPTH + 1):
        inner = [_subfolders(path) for path in level]
        if len(level) == 1 and len(inner[0]) == 1 and not fits(level[0]):
            level = inner[0]
            continue
        found = [path for path in level if fits(path)]
        if found:
            return found
        level = [path for paths in inner for path in paths]
    return []


def _subfolders(folder: Path) -> list[Path]:
    named = (p for p in folder.iterdir() if not p.name.startswith(('.', '__')))
    return sorted(p for p in named if p.is_dir() and not p.is_symlink())
