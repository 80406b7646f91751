"""Reading checkpoint files: told apart by their bytes, checked for damage, and nothing in them runs."""

import argparse
import hashlib
import io
import json
import os
import pickle
import re
import stat
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

from madnet.engine.mxnet_file import HEAD as MXNET
from madnet.engine.mxnet_file import read_mxnet
from madnet.errors import UserError, nearest
from madnet.fetching import fetch
from madnet.files import read_json
from madnet.records import ExportInfo, PretrainedEntry, get_pretrained, list_pretrained, list_registered
from madnet.records.export_info import KEY

#: How ``load_from`` of any mmengine config names weights of the registry.
SCHEME = 'madnet://'
#: Where the meta of a checkpoint says what the weights were trained on that its training began with, its
#: teacher's among them: see :func:`~madnet.datasets.seen.parts_of_record`.
BEFORE = 'trained on before'

_trusted: ContextVar[bool] = ContextVar('trusted', default=False)
_given: ContextVar[Mapping[str, Path]] = ContextVar('given', default=MappingProxyType({}))


class UnusableCheckpoint(UserError):
    """A file that is no whole checkpoint, whatever is trusted."""


@contextmanager
def trusting(trust: bool) -> Iterator[None]:
    """Say whether checkpoints that are read meanwhile, by mmengine and mmseg too, may hold pickled objects,
    which can run code when loaded."""
    token = _trusted.set(trust)
    try:
        yield
    finally:
        _trusted.reset(token)


def read_checkpoint(path: str | os.PathLike, trust: bool | None = None) -> dict:
    """Read a checkpoint onto the CPU.

    Files are read as tensors and plain values, NumPy's and mmengine's records among them, so that nothing in
    them can run. The checksums that torch writes for each part of a file are compared.

    Args:
        path: A file of ours, of mmengine, of any trainer, a bare state dict, safetensors, arrays of MXNet;
            or the name of weights in the registry, with or without ``madnet://`` before it.
        trust: Unpickle arbitrary objects too. Only for files whose origin is trusted. None: as
            :func:`trusting` says, by default not.

    Returns:
        The dict in the file; of safetensors, MXNet and registered weights, ``state_dict``, and ``meta`` as
        far as a JSON of the network is known.

    Raises:
        UnusableCheckpoint: The file is damaged, or something else than a checkpoint.
        UserError: It is missing, cannot be opened, or holds pickled objects.
    """
    checkpoint = read_file(path, trust)
    if not isinstance(checkpoint, dict):
        raise UnusableCheckpoint(
            f'checkpoint {path}: found a {type(checkpoint).__name__}, expected a dict of weights.'
        )
    return checkpoint


def read_file(path: str | os.PathLike, trust: bool | None = None) -> Any:
    """:func:`read_checkpoint` for files that may hold anything, not only a dict."""
    if is_registered(path):
        entry = get_pretrained(str(path).removeprefix(SCHEME))
        return _with_statistics({'state_dict': read_registered(entry)}, entry.config)
    place = find_checkpoint(path)
    try:
        status = os.stat(place)
        if not stat.S_ISREG(status.st_mode):
            found = 'a folder' if stat.S_ISDIR(status.st_mode) else 'a device, pipe or socket'
            raise UserError(f'checkpoint {path}: found {found}, expected a file.')
        with open(place, 'rb') as file:
            content = read_stream(file, path, trust)
    except FileNotFoundError:
        shipped = list_pretrained()
        raise UserError(
            f'checkpoint {path}: no such file, nor are there shipped weights of this name '
            f'({", ".join(shipped)}). Train first, or check the path.{nearest(Path(path).name, shipped)}'
        ) from None
    except (OSError, ValueError) as e:
        reason = getattr(e, 'strerror', None) or e
        raise UserError(f'checkpoint {path}: cannot be read ({reason}).') from None
    if place.suffix == '.safetensors' and isinstance(content, dict):
        return _with_statistics(content, place.with_suffix('.json'))
    return content


def find_checkpoint(path: str | os.PathLike) -> Path:
    """The file that a path or the name of weights in the registry stands for; what does not ship is fetched.

    ``~`` and variables of the environment (``$WEIGHTS/nano.pth``) are filled in, so that a config or a plan
    need not name a place of one machine.

    Raises:
        UserError: ``madnet://`` with a name that is not known, or weights that cannot be fetched.
    """
    if is_registered(path):
        return fetch_weights(get_pretrained(str(path).removeprefix(SCHEME)))
    return Path(os.path.expandvars(path)).expanduser()


def is_registered(path: str | os.PathLike) -> bool:
    """Whether a path is none, but the name of weights in the registry; a file of that name goes before
    them."""
    name = str(path)
    if name.startswith(SCHEME):
        return True
    return Path(name).name == name and name in list_registered() and not os.path.lexists(name)


@contextmanager
def taking(name: str, file: str | os.PathLike | None) -> Iterator[None]:
    """Take the weights of an entry of the registry from a file meanwhile; None: from where they are."""
    token = _given.set(_given.get() if file is None else {**_given.get(), name: Path(file)})
    try:
        yield
    finally:
        _given.reset(token)


def fetch_weights(entry: PretrainedEntry) -> Path:
    """The file of registered weights, downloaded into the cache where it neither ships nor is there; or that
    of :func:`taking`.

    Raises:
        UserError: It cannot be fetched, or no address is known.
    """
    if entry.name in _given.get():
        return _given.get()[entry.name]
    if entry.ships or (entry.weights.is_file() and entry.address is None):
        return entry.weights
    by_hand = f'A copy of it may be put at {entry.weights}'
    if entry.address is None:
        raise UserError(
            f'{entry.name}: its file is not here, and no address of it is known; it was published as '
            f'{entry.origin}. {by_hand}.'
        )
    try:
        return fetch(entry.address, entry.weights.parent, entry.sha256, entry.weights.name)
    except UserError as e:
        raise UserError(f'{entry.name}: {e} {by_hand}.') from None


def read_registered(entry: PretrainedEntry) -> dict[str, torch.Tensor]:
    """The weights of an entry of the registry, by our key names.

    Raises:
        UserError: The file is missing, or not the one that was registered.
    """
    path, given = fetch_weights(entry), entry.name in _given.get()
    try:
        data = path.read_bytes()
    except OSError as e:
        raise UserError(
            f'{path}: cannot be read ({e.strerror}), weights {entry.name!r} need it'
            + ('; install the package again.' if entry.ships and not given else '.')
        ) from None
    found = hashlib.sha256(data).hexdigest()
    if found != entry.sha256:
        if given:
            raise UserError(
                f'{path}: sha256 {found[:12]}… is not the {entry.sha256[:12]}… of {entry.name}: another '
                f'file, or another version of it; expected is that of {entry.origin or entry.about}.'
            )
        raise UserError(
            f'{path}: sha256 {found[:12]}… is not the {entry.sha256[:12]}… of {entry.name}: the '
            f'file was changed or cut short; '
            + ('install the package again.' if entry.ships else 'remove it, and run again.')
        )
    content = read_stream(io.BytesIO(data), path, trust=False)
    if entry.converter is None:
        return content['state_dict']
    # imported here: whoever reads a checkpoint of ours needs none of the converters
    from madnet.models.checkpoints import CONVERTERS

    return CONVERTERS[entry.converter].to_ours(content)


def _safetensors(data: bytes) -> dict[str, torch.Tensor]:
    # imported here: a training that needs no such weights needs no safetensors either
    import safetensors.torch

    return safetensors.torch.load(data)


def _with_statistics(checkpoint: dict, config: Path) -> dict:
    """Add what the JSON of a network says of its preprocessor; trained checkpoints say it themselves."""
    about = read_json(config) if config.is_file() else None
    model = about.get('model') if isinstance(about, dict) else None
    if isinstance(model, dict) and isinstance(model.get('data_preprocessor'), dict):
        meta = {'data_preprocessor': model['data_preprocessor']}
        return {**checkpoint, 'meta': {**meta, **checkpoint.get('meta', {})}}
    return checkpoint


# what torch.save writes: a ZIP archive; before torch 1.6 a pickle of this number
_ZIP = b'PK\x03\x04'
_LEGACY = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)


def read_stream(file: BinaryIO, path: str | os.PathLike, trust: bool | None = None) -> Any:
    """:func:`read_file` from an open file; ``path`` names it in messages."""
    trust = _trusted.get() if trust is None else trust
    head = file.read(1024)
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    if _is_safetensors(head, size):
        return _read_safetensors(file, path)
    if head.startswith(MXNET):
        try:
            return {'state_dict': read_mxnet(file.read(), path)}
        except UserError as e:
            raise UnusableCheckpoint(str(e)) from None
    is_zip = _is_zip(file)
    file.seek(0)
    damaged = (
        f'checkpoint {path}: damaged or truncated ({size} bytes), not a whole PyTorch file. '
        'Use another one, or copy it again.'
    )
    if head.startswith(_ZIP) and is_zip:
        _check_archive(file, path, size, damaged)
    elif head.startswith(_ZIP) or (is_zip and kind_of(head) is None):
        raise UnusableCheckpoint(damaged)
    elif not head.startswith(_LEGACY):
        raise UnusableCheckpoint(
            f'checkpoint {path}: not a PyTorch file but {kind_of(head) or _bytes_of(head, size)}.'
        )
    file.seek(0)
    try:
        with torch.serialization.safe_globals(_HARMLESS):
            content = torch.load(file, map_location='cpu', weights_only=not trust)
        _refuse_endless(content, path)
    except UserError:
        raise
    except pickle.UnpicklingError as e:
        named = re.search(r'GLOBAL (\S+) was not an allowed global|Unsupported class (\S+)', str(e))
        if trust or not (named or is_zip):  # an archive is whole, so the reason lies in what it holds
            raise UnusableCheckpoint(damaged) from None
        what = f' ({named[1] or named[2]})' if named else ''
        raise UserError(
            f'checkpoint {path}: holds pickled Python objects{what} beside tensors, which can run code when '
            'loaded. If you trust where it comes from, add --trust-checkpoint.'
        ) from None
    except MemoryError:
        raise UserError(f'checkpoint {path}: does not fit into memory.') from None
    except Exception:  # torch's own unpickler raises whatever the bytes lead to
        raise UnusableCheckpoint(damaged) from None
    return content


def _is_zip(file: BinaryIO) -> bool:
    try:
        return zipfile.is_zipfile(file)
    except zipfile.BadZipFile:  # its end says so, and is damaged
        return True


def _is_safetensors(head: bytes, size: int) -> bool:
    """Eight bytes with the length of a JSON header, and the header's brace."""
    return head[8:9] == b'{' and 2 <= int.from_bytes(head[:8], 'little') <= max(size, 100_000_000)


def _read_safetensors(file: BinaryIO, path: str | os.PathLike) -> dict:
    data = file.read()
    try:
        return {'state_dict': _safetensors(data), **_of_export(data)}
    except Exception as e:  # length of the header and all ranges are checked there
        raise UnusableCheckpoint(
            f'checkpoint {path}: damaged or truncated safetensors ({e}). Use another one, or copy it again.'
        ) from None


def metadata_of(data: bytes) -> dict[str, str]:
    """The ``__metadata__`` of a safetensors file: JSON whose length stands in the first eight bytes."""
    length = int.from_bytes(data[:8], 'little')
    try:
        return json.loads(data[8 : 8 + length]).get('__metadata__') or {}
    except (ValueError, AttributeError):
        return {}


def _of_export(data: bytes) -> dict[str, dict[str, Any]]:
    """As ``meta``, what a file of ``madnet export`` says of its network's training."""
    try:
        info = ExportInfo.of_file(metadata_of(data).get(KEY), '')
    except UserError:
        return {}
    return {'meta': {'origin': info.origin} if info.trained is None else {BEFORE: info.trained}}


def _check_archive(file: BinaryIO, path: str | os.PathLike, size: int, damaged: str) -> None:
    """Raise where an archive is none of ``torch.save``, or one of its parts fails its checksum, which
    ``torch.load`` does not look at."""
    try:
        with zipfile.ZipFile(file) as archive:
            parts = archive.infolist()
            names = [part.filename for part in parts]
            if any(name.endswith('/constants.pkl') for name in names):
                raise UnusableCheckpoint(
                    f'checkpoint {path}: not a checkpoint but a TorchScript program of torch.jit.save. '
                    'Save the state_dict of its network with torch.save instead.'
                )
            if not any(name.count('/') == 1 and name.endswith('/data.pkl') for name in names):
                first = ', '.join(names[:3]) or 'nothing'
                raise UnusableCheckpoint(
                    f'checkpoint {path}: not a PyTorch file but a ZIP archive (in it: {first}). '
                    'If a checkpoint is among these, unpack it first.'
                )
            unpacked = sum(part.file_size for part in parts)
            if unpacked > 20 * size + 2**20:  # torch.save does not compress
                raise UnusableCheckpoint(
                    f'checkpoint {path}: its {size} bytes claim to unpack to {unpacked}; refused, as made to '
                    'fill the memory.'
                )
            if archive.testzip() is not None:
                raise UnusableCheckpoint(damaged)
    except UserError:
        raise
    except Exception:  # zipfile raises a dozen types for damaged headers
        raise UnusableCheckpoint(damaged) from None


_KINDS = {
    b'version https://git-lfs.github.com/spec/': 'a git-lfs pointer: "git lfs pull" fetches the file itself',
    b'\x89PNG': 'a PNG image',
    b'\xff\xd8\xff': 'a JPEG image',
    b'GIF8': 'a GIF image',
    b'II*\x00': 'a TIFF image',
    b'MM\x00*': 'a TIFF image',
    b'%PDF': 'a PDF document',
    b'\x89HDF': 'an HDF5 file, such as Keras writes',
    b'\x93NUMPY': 'a NumPy array (.npy)',
    b'\x1f\x8b': 'a gzip archive, which is to be unpacked first',
    b'7z\xbc\xaf': 'a 7z archive, which is to be unpacked first',
    b'Rar!': 'a RAR archive, which is to be unpacked first',
    b'\x7fELF': 'a program',
    b'PK\x05\x06': 'an empty ZIP archive',
}


def kind_of(head: bytes) -> str | None:
    """What a file is that is no checkpoint, by its first kilobyte, in words; None where they do not say."""
    if not head:
        return 'an empty file'
    known = next((kind for start, kind in _KINDS.items() if head.startswith(start)), None)
    if known:
        return known
    if head[257:262] == b'ustar':
        return 'a tar archive, which is to be unpacked first'
    if (
        len(head) > 8
        and head[0] == 8
        and head[1] < 64
        and head[2] == 0x12
        and head[4 : 4 + head[3]].isascii()
    ):
        return 'an ONNX model, which holds a program rather than a state dict'
    if head[:1] == b'\x80' and head[1:2] <= b'\x05':
        return 'a pickle that was not written by torch.save; pickles run code when loaded'
    try:
        text = head.decode('utf-8', errors='strict' if len(head) < 1024 else 'ignore')
    except UnicodeDecodeError:
        return None
    if not all(c.isprintable() or c.isspace() for c in text) or (len(head) == 1024 and len(text) < 1000):
        return None
    start = text.lstrip('\ufeff \t\r\n').lower()
    if start.startswith(('<!doctype html', '<html', '<head', '<body')):
        return 'an HTML page: the download gave a web page instead of the file'
    if start.startswith('<?xml'):
        return 'an XML page: the download gave a message instead of the file'
    line = next((part.strip() for part in text.splitlines() if part.strip()), '')
    return f'a text file that begins with {line[:40]!r}'


def _bytes_of(head: bytes, size: int) -> str:
    return f'{size} bytes of an unknown kind that begin with {head[:8].hex(" ")}'


def _refuse_endless(content: Any, path: str | os.PathLike) -> None:
    """Raise where containers hold themselves, lie too deep in one another, or unfold to too much when each
    mention of a shared one counts."""
    above: set[int] = set()
    sizes: dict[int, int] = {}

    def size_of(value: Any) -> int:
        if not isinstance(value, (Mapping, list, tuple)):
            return 1
        if id(value) in above or len(above) > 100:
            raise UnusableCheckpoint(
                f'checkpoint {path}: a container in it holds itself, or over 100 lie in one another.'
            )
        if id(value) not in sizes:
            above.add(id(value))
            items = value.values() if isinstance(value, Mapping) else value
            sizes[id(value)] = 1 + sum(map(size_of, items))
            above.remove(id(value))
        return sizes[id(value)]

    if size_of(content) > 10_000_000:
        raise UnusableCheckpoint(f'checkpoint {path}: its containers unfold to over ten million values.')


def _method_of_history(owner: Any, name: str) -> Any:
    """``getattr``, as far as mmengine's histories need it: they are pickled with their four methods."""
    if owner is HistoryBuffer and name in ('mean', 'max', 'min', 'current'):
        return getattr(owner, name)
    raise pickle.UnpicklingError(f'GLOBAL getattr({owner}.{name}) was not an allowed global')


#: What common checkpoints hold beside tensors, and what runs nothing when it is unpickled: NumPy's numbers
#: and arrays (under the names of NumPy 1 and 2), arguments of a command line, histories of mmengine.
_HARMLESS = [
    *(
        (function, f'numpy.{core}.multiarray.{name}')
        for core in ('core', '_core')
        for name, function in (
            ('scalar', np.float64(0).__reduce__()[0]),
            ('_reconstruct', np.zeros(0).__reduce__()[0]),
        )
    ),
    np.dtype,
    np.ndarray,
    *{type(np.dtype(code)) for code in '?bBhHiIlLqQefdgFDG'},
    argparse.Namespace,
    HistoryBuffer,
    (_method_of_history, 'builtins.getattr'),
]
