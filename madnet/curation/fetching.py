"""Downloads that go on where they stopped, and are compared with a checksum."""

import hashlib
import http.client
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

from madnet.errors import UserError
from madnet.files import not_following, read_json, sha256_of, write_json
from madnet.progress import progress_bar

#: Broken connections that are taken up again before one gives up, and seconds of silence that break one.
ATTEMPTS, SILENCE = 4, 30.0
_BLOCK = 1 << 20


def is_url(source: str) -> bool:
    """Whether a source is to be downloaded."""
    return source.lower().startswith(('http://', 'https://'))


def download_folder() -> Path:
    """Where downloads are kept: ``~/.cache/madnet/downloads`` (``$XDG_CACHE_HOME``)."""
    return Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'madnet' / 'downloads'


def fetch(url: str, folder: Path, sha256: str | None = None) -> Path:
    """Download a file, or what is still missing of it.

    Args:
        url: http or https.
        folder: Keeps the file; a part of it is kept as ``….part``, with what the server said of its version.
        sha256: What the file's hash has to be.

    Returns:
        The whole file.

    Raises:
        UserError: The server refuses, the connection breaks again and again (what came is kept), or the hash
            is another one.
    """
    try:
        address = urlsplit(url)
        if not address.hostname:
            raise ValueError('no host')
    except ValueError as error:
        raise UserError(f'{url}: not an address that can be read ({error}).') from None
    stem = re.sub(r'[^\w.-]', '_', unquote(Path(address.path).name))[-80:] or 'download'
    target = folder / f'{hashlib.sha256(url.encode()).hexdigest()[:12]}-{stem}'
    part = target.with_name(target.name + '.part')
    if not target.is_file():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _complete(url, part)
            os.replace(part, target)
        except OSError as error:
            raise UserError(
                f'{folder}: cannot be written ({error.strerror or error}); see $XDG_CACHE_HOME.'
            ) from None
        _version_file(part).unlink(missing_ok=True)
    if sha256 and sha256_of(target) != sha256.lower():
        found = sha256_of(target)
        target.unlink()
        raise UserError(
            f'{url}: SHA-256 {found}, expected {sha256}: not the file it should be, and removed; run again '
            'to download it anew.'
        )
    return target


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
                part.unlink()
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
    return int(length) if length and length.isdigit() else None
