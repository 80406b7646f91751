"""Damage to bytes, values, arrays and archives; and a watch over what a call takes, says and writes."""

import copy
import io
import os
import random
import signal
import sys
import tarfile
import zipfile
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

#: Seconds after which a call counts as hanging.
LIMIT = 60
ODD = [None, 3, -1, 1e308, '', 'x' * 300, '../../up', '\x1b[31m', True, [], {}, [[[]]], {'a': {'b': None}}]


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Bytes with one kind of damage."""
    out = bytearray(data)
    kind = rng.randrange(7)
    at = rng.randrange(len(out))
    if kind == 0:
        for _ in range(rng.randrange(1, 9)):
            out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del out[at:]
    elif kind == 2:
        out[at : at + 64] = bytes(len(out[at : at + 64]))
    elif kind == 3:
        out[at:at] = rng.randbytes(rng.randrange(1, 40))
    elif kind == 4:
        del out[at : at + rng.randrange(1, 40)]
    elif kind == 5:
        other = rng.randrange(len(out))
        out[at : at + 16] = out[other : other + 16]
    else:
        out[at : at + 4] = rng.choice([b'\xff\xff\xff\xff', b'\x00\x00\x00\x80', b'\x7f\xff\xff\xff'])
    return bytes(out)


def changed(value, rng: random.Random):
    """A value as JSON or YAML has it with one part of it replaced, renamed or removed."""
    value = copy.deepcopy(value)
    places = []

    def walk(part):
        for key in part if isinstance(part, dict) else range(len(part)):
            places.append((part, key))
            if isinstance(part[key], (dict, list)):
                walk(part[key])

    walk(value)
    part, key = rng.choice(places)
    kind = rng.randrange(4)
    if kind == 0:
        del part[key]
    elif kind == 1 and isinstance(part, dict):
        part[f'{key}x'] = part.pop(key)
    else:
        part[key] = rng.choice(ODD)
    return value


def odd_picture(picture: np.ndarray, rng: random.Random) -> tuple[str, bytes]:
    """Ending and bytes of a whole file that holds a picture (H, W) uint8 in a form that few expect: other
    types, channels, sizes, values, or in the end damaged after all."""
    shape = rng.choice([picture.shape, picture.shape, picture.shape[::-1], (1, 1), (1, 64), (48, 3)])
    pixels = cv2.resize(picture, shape[::-1], interpolation=cv2.INTER_NEAREST)
    kind = rng.choice(['uint8', 'uint16', 'int16', 'int32', 'float32', 'float64', 'bool'])
    scale = rng.choice([1, 1, 1 / 255, 257, -1, 0, 1e30])
    with np.errstate(all='ignore'):
        array = (pixels.astype(np.float64) * scale).astype(kind)
    if array.dtype.kind == 'f' and rng.random() < 0.3:
        array.flat[rng.randrange(array.size)] = rng.choice([np.nan, np.inf, -np.inf])
    layers = rng.choice([0, 0, 0, 1, 2, 3, 4, 5])
    if layers:
        array = np.repeat(array[..., None], layers, axis=2)
        array[..., -1] = array[..., -1] if rng.random() < 0.5 else array[::-1, :, -1]
    ending = rng.choice(['.png', '.png', '.tif', '.npy', '.npz', '.jpg', '.bmp', '.gif', '.webp', '.raw'])
    data = _encoded(ending, array, rng)
    return ending, damaged(data, rng) if rng.random() < 0.3 else data


def _encoded(ending: str, array: np.ndarray, rng: random.Random) -> bytes:
    out = io.BytesIO()
    if ending == '.npy':
        odd = rng.choice([array, array, array[None], array[:0], np.array({'a': 1}, object), np.float32(3)])
        np.save(out, odd, allow_pickle=True)
    elif ending == '.npz':
        np.savez(out, **{f'a{k}': array for k in range(rng.choice([0, 1, 1, 2]))})
    elif ending == '.raw':
        return array.tobytes()
    else:
        if ending != '.tif' or array.ndim == 3:
            array = array.astype(np.uint16 if array.dtype == np.uint16 and ending == '.png' else np.uint8)
        if array.ndim == 3:
            array = array[..., : {1: 1, 2: 1}.get(array.shape[2], min(array.shape[2], 4))]
            array = array[..., :3] if ending in ('.jpg', '.bmp', '.gif') else array
        array = array.astype(np.uint8) if array.dtype == bool else array
        ok, data = cv2.imencode('.bmp' if ending == '.gif' else ending, array)  # a BMP under another name
        return data.tobytes() if ok else b'GIF89a'
    return out.getvalue()


#: Names that no archive of a data set should hold.
NAMES = (
    *('../out.png', '/tmp/out.png', 'a/../../out.png', '..\\out.png', 'C:\\out.png', '.', '', '/', 'images'),
    *('images/', 'x' * 300, 'images/\x1b[31m.png', 'images/\udcff.png', 'a/' * 200 + 'b.png', 'CON', '~/x'),
    *('dataset.json', '.unpacked/x', 'images//0.png', './images/0.png', 'IMAGES/0.png', 'train.txt/x'),
)


def odd_archive(files: dict[str, bytes], rng: random.Random) -> tuple[str, bytes]:
    """Ending and bytes of an archive of these files, most with a member that should not be there."""
    members = [(name, data, '') for name, data in files.items()]
    for _ in range(rng.randrange(0, 3)):
        kind = rng.choice(['', 'link', 'hard', 'device', 'pipe', 'name', 'name', 'name'])
        name = rng.choice(NAMES) if kind == 'name' or rng.random() < 0.3 else f'images/x{rng.random()}.png'
        data = rng.choice([b'', b'x', rng.randbytes(50), bytes(1 << 20)])
        members.insert(rng.randrange(len(members) + 1), (name, data, kind))
    if rng.random() < 0.3:
        del members[rng.randrange(len(members))]
    out, ending = io.BytesIO(), rng.choice(['.zip', '.zip', '.tar', '.tar.gz', '.tar.xz', '.tar.bz2'])
    if ending == '.zip':
        with zipfile.ZipFile(out, 'w', rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as opened:
            for name, data, kind in members:
                info = zipfile.ZipInfo(name.encode('utf-8', 'replace').decode() or 'x')
                info.external_attr = {'link': 0o120777, 'device': 0o020666, 'pipe': 0o010666}.get(
                    kind, 0
                ) << 16
                opened.writestr(info, data)
    else:
        mode = ending.rpartition('.')[2].replace('tar', '')
        kinds = {'link': tarfile.SYMTYPE, 'hard': tarfile.LNKTYPE, 'device': tarfile.CHRTYPE}
        with tarfile.open(fileobj=out, mode=f'w:{mode}') as opened:
            for name, data, kind in members:
                info = tarfile.TarInfo(name)
                info.type = {**kinds, 'pipe': tarfile.FIFOTYPE}.get(kind, tarfile.REGTYPE)
                info.size, info.linkname = (
                    len(data) if info.isreg() else 0,
                    rng.choice(['/etc/passwd', '../x']),
                )
                opened.addfile(info, io.BytesIO(data))
    data = out.getvalue()
    return ending, damaged(data, rng) if rng.random() < 0.4 else data


@contextmanager
def time_limit(what: str):
    """Raise where something takes longer than :data:`LIMIT`."""

    def late(*_):
        raise TimeoutError(f'{what}: more than {LIMIT} s')

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(LIMIT)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


#: Audit events of calls that change files → which arguments are paths, and which a folder's descriptor.
_CHANGES = {
    'os.mkdir': ((0,), 2),
    'os.remove': ((0,), 1),
    'os.rmdir': ((0,), 1),
    'os.truncate': ((0,), None),
    'os.chmod': ((0,), 2),
    'os.rename': ((0, 1), 2),
    'os.link': ((1,), 3),
    'os.symlink': ((1,), 2),
}
_watching: list['_Watch'] = []


class _Watch:
    """Paths that were changed and lie in none of the allowed places."""

    def __init__(self, allowed: list[Path]):
        self.allowed = [os.path.realpath(p) for p in allowed]
        self.outside: list[str] = []

    def see(self, event: str, args: tuple) -> None:
        folder = None
        if event == 'open':
            path, mode, flags = args
            writes = set(mode or '') & set('wax+') or (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            paths = [path] if writes else []
        else:
            which, descriptor = _CHANGES[event]
            paths = [args[i] for i in which]
            folder = args[descriptor] if descriptor is not None else None
        for path in paths:
            if isinstance(path, int):
                continue
            name = os.fsdecode(path)
            if isinstance(folder, int) and folder >= 0:  # as shutil.rmtree names what it removes
                name = os.path.join(os.readlink(f'/proc/self/fd/{folder}'), name)
            # of a link itself, which is what is made or removed, not of where it leads
            real = os.path.join(os.path.realpath(os.path.dirname(name)), os.path.basename(name))
            if not real.startswith('/dev/') and not any(
                real == place or real.startswith(place + os.sep) for place in self.allowed
            ):
                self.outside.append(f'{event} {real}')


def _audit(event: str, args: tuple) -> None:
    if _watching and (event == 'open' or event in _CHANGES):
        _watching[-1].see(event, args)


sys.addaudithook(_audit)  # for good: Python takes no hook away


@contextmanager
def writes_only_below(*allowed: Path):
    """Within it, a list of Python's own calls that change files elsewhere; what C libraries write shows in
    the folders alone."""
    watch = _Watch([*allowed])
    _watching.append(watch)
    try:
        yield watch.outside
    finally:
        _watching.pop()
