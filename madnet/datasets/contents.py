"""What the files of a data set hold, by their hashes: whether they are still what a run saw."""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Any

from madnet.errors import UserError
from madnet.files import cache_folder, read_json, write_json

from .splits import ids_sha256

#: Hexadecimal digits of a file's hash: of a million images, two are alike by chance once in 500 times.
DIGITS = 12
#: Kind of file → its key in the records of a data set.
KINDS = {'images': 'img_path', 'masks': 'seg_map_path'}


@dataclass(frozen=True)
class Contents:
    """What the images and masks of a part of a data set hold.

    Attributes:
        ids: Of the images.
        files: Kind (:data:`KINDS`) → paths, in the order of ``ids``; fewer where images have no such file.
        hashes: The same, of the :func:`hash_of` each.
    """

    ids: Sequence[str]
    files: Mapping[str, Sequence[str]]
    hashes: Mapping[str, Sequence[str]]

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]]) -> 'Contents':
        """Those of records with ``img_id``, ``img_path`` and ``seg_map_path``."""
        files = {kind: [str(r[key]) for r in rows if r.get(key)] for kind, key in KINDS.items()}
        return cls([r['img_id'] for r in rows], files, {kind: hashes(each) for kind, each in files.items()})

    def text(self, kinds: Iterable[str]) -> str:
        """The :data:`DIGITS` digits of each file, image after image, as checkpoints have it."""
        return ''.join(chain.from_iterable(zip(*(self.hashes[kind] for kind in kinds), strict=True)))

    def digests(self) -> dict[str, str]:
        """``images_sha256`` and ``masks_sha256``, whatever the order, as ``metrics.json`` has them; not of a
        kind that images lack."""
        return {
            f'{kind}_sha256': ids_sha256(f'{i} {h}' for i, h in zip(self.ids, each, strict=True))
            for kind, each in self.hashes.items()
            if len(each) == len(self.ids)
        }


def is_same(recorded: object, now: str | None) -> bool | None:
    """Whether files are what a run saw: the one question of comparisons, reports and resumed trainings.

    Args:
        recorded: What the run recorded: a :meth:`Contents.text`, or one of the :meth:`Contents.digests`.
        now: The same of today's files; None where they are not at hand.

    Returns:
        None where nobody can say.
    """
    return recorded == now if isinstance(recorded, str) and recorded and now is not None else None


def hashes(files: Iterable[str | os.PathLike]) -> list[str]:
    """:func:`hash_of` each. They are kept in the user's cache, a table for each folder, so that only files
    that change are read again, whichever of them are asked for."""
    paths = [os.path.abspath(file) for file in files]
    found: dict[str, list] = {}  # path → size and times, then the hash
    for folder, inside in groupby(sorted(set(paths), key=os.path.dirname), os.path.dirname):
        place = cache_folder('contents') / f'{hashlib.sha256(os.fsencode(folder)).hexdigest()[:32]}.json'
        table: dict[str, list] = {}
        with suppress(UserError):
            table = read_json(place)
        now = {path: _renewed(path, table.get(path, [''])) for path in inside}
        if table | now != table:
            with suppress(UserError):  # a cache that can't be written costs time, nothing else
                write_json(place, table | now)
        found |= now
    return [found[path][-1] for path in paths]


def _renewed(path: str, kept: list) -> list:
    try:
        now = [*stamp_of(path)[1:]]
    except OSError:  # gone
        return ['']
    return kept if kept[:-1] == now else [*now, hash_of(path)]


def stamp_of(file: str | os.PathLike) -> tuple[str, int, int, int]:
    """What changes with a file's content; copying tools may set its time of modification to what it was, but
    not that of its last change of any kind."""
    s = os.stat(file)
    return os.path.abspath(file), s.st_size, s.st_mtime_ns, s.st_ctime_ns


def hash_of(path: str | os.PathLike) -> str:
    """A short hash of a file's bytes; empty where it cannot be read, which whoever opens it says."""
    digest = hashlib.blake2b(digest_size=DIGITS // 2)
    try:
        with open(path, 'rb') as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError:
        return ''
    return digest.hexdigest()
