"""Downloads that go on where they stopped, and are compared with a checksum."""

import hashlib
import http.client
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

from madnet.errors import UserError
from madnet.files import cache_folder, not_following, read_json, sha256_of, write_json
from madnet.progress import progress_bar

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

#: Broken connections that are taken up again before one gives up, and seconds of silence that break one.
ATTEMPTS, SILENCE = 4, 30.0
_BLOCK = 1 << 20


def is_url(source: str) -> bool:
    """Whether a source is to be downloaded."""
    return source.lower().startswith(('http://', 'https://'))


def download_folder() -> Path:
    """Where downloaded archives of data sets are kept."""
    return cache_folder('downloads')


def fetch(url: str, folder: Path, sha256: str | None = None, name: str | None = None) -> Path:
    """Download a file, or what is still missing of it.

    Of several processes that want the same file one downloads it, and the others wait.

    Args:
        url: http or https.
        folder: Keeps the file; a part of it is kept as ``….part``, with what the server said of its version.
        sha256: What the file's hash has to be. A kept file with another one is downloaded anew.
        name: Of the file in the folder; None for one made of the address.

    Returns:
        The whole file.

    Raises:
        UserError: The server refuses, the connection breaks again and again (what came is kept), or the hash
            is another one.
    """
    target = folder / (name or _name_of(url))
    part = target.with_name(target.name + '.part')
    try:
        if _is_kept(target, sha256) and sha256 is None:
            since = time.strftime('%Y-%m-%d', time.localtime(target.stat().st_mtime))
            print(f'{url}: taken from {target}, of {since}; remove it to download anew', file=sys.stderr)
        if not _is_kept(target, sha256):
            folder.mkdir(parents=True, exist_ok=True)
            with _alone(part, target):
                if not _is_kept(target, sha256):  # another process may have brought it meanwhile
                    target.unlink(missing_ok=True)
                    _complete(url, part)
                    _compare(part, sha256, url)
                    os.replace(part, target)
                _version_file(part).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(
            f'{folder}: cannot be written ({error.strerror or error}); see $XDG_CACHE_HOME.'
        ) from None
    return target


def _name_of(url: str) -> str:
    try:
        address = urlsplit(url)
        if not address.hostname:
            raise ValueError('no host')
    except ValueError as error:
        raise UserError(f'{url}: not an address that can be read ({error}).') from None
    stem = re.sub(r'[^\w.-]', '_', unquote(Path(address.path).name))[-80:] or 'download'
    return f'{hashlib.sha256(url.encode()).hexdigest()[:12]}-{stem}'


def _is_kept(target: Path, sha256: str | None) -> bool:
    return target.is_file() and (sha256 is None or sha256_of(target) == sha256.lower())


def _compare(part: Path, sha256: str | None, url: str) -> None:
    if sha256 is None or (found := sha256_of(part)) == sha256.lower():
        return
    part.unlink()
    _version_file(part).unlink(missing_ok=True)
    raise UserError(
        f'{url}: SHA-256 {found}, expected {sha256}: not the file it should be, and removed; run again '
        'to download it anew.'
    )


@contextmanager
def _alone(part: Path, target: Path) -> Iterator[None]:
    """Hold the part of a download, so that no other process writes to it; the system releases it however the
    process ends. An empty part does not stay."""
    while fcntl is not None:
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT | getattr(os, 'O_NOFOLLOW', 0), 0o666)
        try:
            _lock(descriptor, part)
            held = os.fstat(descriptor)
            # renamed or removed by whoever had it: what is locked is no longer what the name stands for
            if part.is_file() and os.path.samestat(held, part.stat()):
                yield
                return
            if target.is_file():
                yield
                return
        finally:
            os.close(descriptor)
            if part.is_file() and not part.stat().st_size:
                part.unlink(missing_ok=True)
    yield


def _lock(descriptor: int, part: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f'{part.stem}: another process downloads it; waiting', file=sys.stderr)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:  # a file system without locks
        return


def _version_file(part: Path) -> Path:
    return part.with_name(part.name + '.json')


def _complete(url: str, part: Path) -> None:
    reason = ''
    for _ in range(ATTEMPTS):
        try:
            if _go_on(url, part):
                return
            reason = 'the connection broke'
        except HTTPError as error:
            if error.code == 416 and part.is_file():  # nothing behind what is here: begin anew
                os.truncate(part, 0)
                continue
            raise UserError(f'{url}: the server answers {error.code} ({error.reason}).') from None
        except (URLError, TimeoutError, ConnectionError, http.client.HTTPException) as error:
            reason = str(getattr(error, 'reason', '') or error or type(error).__name__)
        except ValueError as error:
            raise UserError(f'{url}: not an address that can be read ({error}).') from None
    size = part.stat().st_size if part.is_file() else 0
    kept = f'; {size:,} bytes are kept in {part}, run again to go on from there' if size else ''
    raise UserError(f'{url}: {reason}{kept}.')


def _go_on(url: str, part: Path) -> bool:
    """Ask for what is missing and write it; returns whether the file is whole."""
    have = part.stat().st_size if part.is_file() else 0
    headers = {'User-Agent': 'madnet', 'Accept-Encoding': 'identity'}
    version = None
    with suppress(UserError):
        version = read_json(_version_file(part))
    if have and version:
        headers |= {'Range': f'bytes={have}-', 'If-Range': version}
    with urlopen(Request(url, headers=headers), timeout=SILENCE) as answer:
        total = _total(answer.headers, answer.status)
        begins = re.match(r'bytes (\d+)-', answer.headers.get('Content-Range', ''))
        resumed = answer.status == 206 and begins is not None and int(begins[1]) == have
        if not resumed:
            have = 0
            version = answer.headers.get('ETag') or answer.headers.get('Last-Modified')
            # a weak tag does not promise the same bytes
            write_json(_version_file(part), None if (version or '').startswith('W/') else version)
        bar = progress_bar(total=total and total >> 20, initial=have >> 20, what='download', unit='MiB')
        with bar, open(part, 'ab' if resumed else 'wb', opener=not_following) as file:
            while block := answer.read1(_BLOCK):  # as it comes: what is here when one stops is kept
                file.write(block)
                have += len(block)
                bar.update((have >> 20) - bar.n)
    return total is None or have == total


def _total(headers: Mapping[str, str], status: int) -> int | None:
    """Bytes of the whole file, where the server says so."""
    whole = re.search(r'/(\d+)$', headers.get('Content-Range', '')) if status == 206 else None
    length = whole[1] if whole else headers.get('Content-Length')
    return int(length) if length and length.isdecimal() else None
